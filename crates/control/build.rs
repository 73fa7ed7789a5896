//! Gathers the web page that is built into the program: what `make webapp` has made, or else a page
//! that says how to make it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let dist = env::current_dir()?.join("../../webapp/dist");
    // While there is no page, each build looks again.
    println!("cargo::rerun-if-changed={}", dist.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // A copy: the folder may be made anew while the compiler reads.
    let page = out.join("page");
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    fs::create_dir_all(&page)?;
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        gather(&dist, &page, "", &mut files)?;
    } else {
        let path = page.join("index.html");
        fs::write(&path, PLACEHOLDER)?;
        files.push(("index.html".to_owned(), path));
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in files {
        let path = path.display().to_string();
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    fs::write(out.join("page.rs"), table + "]\n")
}

/// Copies every file below a folder and notes it under its name with slashes.
fn gather(
    from: &Path,
    to: &Path,
    prefix: &str,
    files: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&path)?;
            gather(&entry.path(), &path, &format!("{name}/"), files)?;
        } else {
            fs::copy(entry.path(), &path)?;
            files.push((name, path));
        }
    }
    Ok(())
}

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>moqrelay</title>
<p>This program was built without its web page. Run <code>make webapp</code> and build it again.
";
