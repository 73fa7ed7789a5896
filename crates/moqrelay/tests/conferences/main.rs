//! Rooms of many as pages and MoQ clients meet them: the real program, its signaling and its relay.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../../../relay/tests/common/mod.rs"]
mod common;
mod files;
mod grants;
mod operators;
mod page;
mod places;
#[path = "../life/program.rs"]
#[allow(dead_code)]
mod program;
mod programs;
mod talk;

use page::Page;
use program::{Daemon, Folder};

/// Keys that outlive the program.
const CONFIG: &str = "[auth]\nguests = true\n[[auth.keys]]\nid = \"test\"\nalgorithm = \"HS256\"\nfile = \"SECRET\"\n\
    [[rooms.room]]\nname = \"den\"\ntitle = \"The den\"\nnumber = \"7820\"\npin = \"4711\"\n\
    [[rooms.room]]\nname = \"hall\"\nlobby = true\nowner = \"anna\"\n";

fn config(folder: &Folder) -> String {
    let secret = folder.write("secret", &"s".repeat(32));
    folder.write("relay.toml", &CONFIG.replace("SECRET", &secret))
}

/// A daemon and, in room `board`, two who came one after the other.
async fn two() -> (Folder, Daemon, Page, Page) {
    let folder = Folder::new();
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;
    let mut anna = Page::guest(&daemon, "Anna").await;
    let mut bert = Page::guest(&daemon, "Bert").await;
    anna.join("board").await;
    bert.join("board").await;
    (folder, daemon, anna, bert)
}
