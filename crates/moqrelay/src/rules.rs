//! What users want done with their calls, kept in a file.
//

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use moqrelay_room::{Forward, Number, Rules, User, UserId};
use serde::{Deserialize, Serialize};

use crate::kept::{self, Kept};

/// Takes what is to be kept; never waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    known: BTreeMap<UserId, (User, Rules)>,
    file: Kept,
}

/// A user's entry.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    user: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undisturbed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    always: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    busy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_answer: Option<String>,
    after_s: u64,
}

impl Keeper {
    /// Reads the file, which may be missing, and returns what it holds, the handle, and the work of
    /// writing, which ends when the handle is dropped and what waits is written.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read: what users have asked for must not be lost unseen.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let known = read(&path).with_context(|| format!("calls.rules: {}", path.display()))?;
        let (file, work) = Kept::new(path, unwritten);
        Ok((Self { known, file }, work))
    }

    /// Returns what is kept.
    pub(crate) fn all(&self) -> Vec<(User, Rules)> {
        self.known.values().cloned().collect()
    }

    /// Keeps a user's rules.
    pub(crate) fn keep(&mut self, user: User, rules: Rules) {
        if rules.are_default() {
            self.known.remove(&user.id);
        } else {
            self.known.insert(user.id.clone(), (user, rules));
        }
        let entries: Vec<Entry> = self.known.values().map(entry).collect();
        self.file.write(&entries);
    }
}

fn unwritten(why: &dyn std::fmt::Display) {
    metrics::counter!("moqrelay_call_rules_unwritten_total").increment(1);
    tracing::error!(%why, "rules for calls cannot be written: the newest end with the daemon");
}

fn entry((user, rules): &(User, Rules)) -> Entry {
    let target = |to: &Option<Forward>| to.as_ref().map(|to| to.as_str().to_owned());
    Entry {
        user: user.id.to_string(),
        name: user.name.clone(),
        number: user.number.as_ref().map(ToString::to_string),
        undisturbed: rules.undisturbed,
        always: target(&rules.always),
        busy: target(&rules.busy),
        no_answer: target(&rules.no_answer),
        after_s: rules.after.as_secs(),
    }
}

fn read(path: &Path) -> Result<BTreeMap<UserId, (User, Rules)>> {
    let entries: Vec<Entry> = kept::read(path)?;
    entries.into_iter().map(user_and_rules).collect()
}

fn user_and_rules(entry: Entry) -> Result<(UserId, (User, Rules))> {
    let id = UserId::new(&entry.user).with_context(|| format!("user {:?}", entry.user))?;
    let number = entry.number.as_deref().map(Number::new).transpose()?;
    let target = |to: Option<String>| {
        to.map(|to| {
            Forward::new(&to).with_context(|| format!("user {id}: cannot forward to {to:?}"))
        })
        .transpose()
    };
    let user = User {
        id: id.clone(),
        name: entry.name,
        number,
    };
    let rules = Rules {
        undisturbed: entry.undisturbed,
        always: target(entry.always)?,
        busy: target(entry.busy)?,
        no_answer: target(entry.no_answer)?,
        after: Duration::from_secs(entry.after_s),
    };
    Ok((id, (user, rules)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::kept::FILE_BYTES_MAX;

    #[tokio::test]
    async fn rules_come_back_and_the_default_leaves_no_trace() {
        let folder = folder();
        let path = folder.join("state").join("rules.json");
        let (mut keeper, work) = Keeper::open(path.clone()).unwrap();
        let rules = Rules {
            always: Forward::new("1002"),
            ..Rules::default()
        };

        keeper.keep(user("anna"), rules.clone());
        keeper.keep(user("bert"), rules.clone());
        keeper.keep(user("bert"), Rules::default());
        drop(keeper);
        work.await;

        let (again, _work) = Keeper::open(path).unwrap();
        assert_eq!(again.all(), [(user("anna"), rules)]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_stays() {
        let folder = folder();
        fs::create_dir(&folder).unwrap();
        let path = folder.join("rules.json");
        for text in [
            "[{",
            r#"[{"user":"anna","name":"Anna","always":" ","after_s":20}]"#,
        ] {
            fs::write(&path, text).unwrap();

            assert!(Keeper::open(path.clone()).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_read_again_is_not_written() {
        let folder = folder();
        let path = folder.join("rules.json");
        let (mut keeper, work) = Keeper::open(path.clone()).unwrap();
        let long = User {
            name: "a".repeat(usize::try_from(FILE_BYTES_MAX).unwrap()),
            ..user("bert")
        };
        let rules = Rules {
            undisturbed: true,
            ..Rules::default()
        };

        keeper.keep(user("anna"), rules.clone());
        keeper.keep(long, rules.clone());
        drop(keeper);
        work.await;

        let (again, _work) = Keeper::open(path).unwrap();
        assert_eq!(again.all(), [(user("anna"), rules)]);
        fs::remove_dir_all(folder).unwrap();
    }

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("moqrelay-rules-{}", uuid::Uuid::new_v4()))
    }

    fn user(id: &str) -> User {
        User {
            id: UserId::new(id).unwrap(),
            name: id.to_uppercase(),
            number: Number::new("7001").ok(),
        }
    }
}
