//! Checks that every test named in `docs/moqt-coverage.md` exists.
//!
//! A row of a table there ends with the tests that cover it: `crate/file::name`, where the file is
//! below `tests` or `src` of the crate. A row without one says why after `none:`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The page that is checked.
const PAGE: &str = "docs/moqt-coverage.md";

/// Prints what is wrong, or one line when all is well.
///
/// # Errors
///
/// When a test is not there, a row names none, or a file cannot be read.
pub(crate) fn check() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page =
        fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    let (mut rows, mut tests) = (0, 0);
    for row in rows_of(&page) {
        rows += 1;
        let named = names_of(row.last);
        tests += named.len();
        if named.is_empty() && !row.last.contains("none:") {
            faults.push(format!("line {}: names no test and no reason", row.line));
        }
        for name in named {
            if !exists(&root, name, &mut files) {
                faults.push(format!("line {}: there is no test {name}", row.line));
            }
        }
    }
    for fault in &faults {
        println!("{PAGE}: {fault}");
    }
    ensure!(faults.is_empty(), "{} fault(s) in {PAGE}", faults.len());
    ensure!(rows > 0, "{PAGE} has no rows");
    println!("coverage: {rows} rows, {tests} tests named, all there");
    Ok(())
}

/// A row of a table.
struct Row<'a> {
    line: usize,
    last: &'a str,
}

/// Rows of tables, without their heads and the lines below these.
fn rows_of(page: &str) -> Vec<Row<'_>> {
    let lines: Vec<&str> = page.lines().collect();
    let is_rule = |line: &str| line.starts_with("| -");
    let mut rows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let head = lines.get(index + 1).is_some_and(|next| is_rule(next));
        if !line.starts_with('|') || is_rule(line) || head {
            continue;
        }
        let cells = line.trim_matches(['|', ' ']).rsplit_once(" | ");
        if let Some((_, last)) = cells {
            let line = index + 1;
            rows.push(Row { line, last });
        }
    }
    rows
}

/// What stands between backticks and looks like a test.
fn names_of(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains("::")).collect()
}

/// Whether a test of that name is in the file that its path names.
fn exists(root: &Path, name: &str, files: &mut BTreeMap<PathBuf, String>) -> bool {
    let Some((path, function)) = name.split_once("::") else {
        return false;
    };
    let Some((package, file)) = path.split_once('/') else {
        return false;
    };
    ["tests", "src"].iter().any(|folder| {
        let path = root
            .join("crates")
            .join(package)
            .join(folder)
            .join(format!("{file}.rs"));
        let text = files
            .entry(path.clone())
            .or_insert_with(|| fs::read_to_string(path).unwrap_or_default());
        has_test(text, function)
    })
}

/// Whether a source has a function of that name with `test` among its attributes.
fn has_test(source: &str, function: &str) -> bool {
    let wanted = format!("fn {function}(");
    let lines: Vec<&str> = source.lines().collect();
    lines.iter().enumerate().any(|(index, line)| {
        line.contains(&wanted)
            && lines
                .get(..index)
                .unwrap_or_default()
                .iter()
                .rev()
                .map(|line| line.trim())
                .take_while(|line| line.starts_with('#') || line.starts_with("//"))
                .any(|line| line.contains("test]") || line.contains("test("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_from_heads_and_their_last_cells_are_read() {
        let page = "| what | test |\n| --- | --- |\n| a | `moqt/x::one`, `relay/y::two` |\n| b | none: because |\ntext";

        let rows = rows_of(page);

        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(names_of(rows[0].last), ["moqt/x::one", "relay/y::two"]);
        assert_eq!(names_of(rows[1].last), [""; 0]);
    }

    #[test]
    fn a_function_counts_only_when_it_is_a_test() {
        let source = "#[tokio::test]\nasync fn heard() {\n}\nfn helper() {}\n#[test]\n// why\nfn seen() {}\n";

        assert!(has_test(source, "heard") && has_test(source, "seen"));
        assert!(!has_test(source, "helper") && !has_test(source, "hear"));
    }
}
