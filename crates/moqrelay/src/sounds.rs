//! What is spoken to telephones in rooms: prompts that come with the program, or recordings of the operator's.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use moqrelay_bridge::Clip;
use moqrelay_room::conference::Prompt;

/// The longest file that is read: half a minute at the highest rate of Opus.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// Prompts, each as one sound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sounds(BTreeMap<Prompt, Clip>);

impl Sounds {
    /// Takes the prompts of a language; `None`: none are spoken.
    ///
    /// # Errors
    ///
    /// When there is no such language.
    pub(crate) fn in_language(language: Option<&str>) -> Result<Self> {
        let Some(language) = language else {
            return Ok(Self::default());
        };
        let Some((_, files)) = LANGUAGES.iter().find(|(name, _)| *name == language) else {
            let known: Vec<_> = LANGUAGES.iter().map(|(name, _)| *name).collect();
            bail!(
                "there are no prompts in {language:?}: only in {}",
                known.join(", ")
            );
        };
        let clips = files.iter().map(|(prompt, file)| {
            let clip = Clip::from_ogg(file).with_context(|| format!("{prompt:?} in {language}"))?;
            Ok((*prompt, clip))
        });
        Ok(Self(clips.collect::<Result<_>>()?))
    }

    /// Takes the recordings of a folder in the place of the prompts that they are named as.
    ///
    /// # Errors
    ///
    /// When the folder or one of its recordings cannot be read. What is missing there stays as it was.
    pub(crate) fn with_folder(mut self, folder: &Path) -> Result<Self> {
        fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
        for (prompt, name) in NAMES {
            let path = folder.join(name).with_extension("opus");
            let shown = || format!("{}", path.display());
            let Ok(about) = fs::metadata(&path) else {
                continue;
            };
            if about.len() > FILE_BYTES_MAX {
                bail!("{} is larger than {FILE_BYTES_MAX} bytes", shown());
            }
            let file = fs::read(&path).with_context(shown)?;
            let clip = Clip::from_ogg(&file).with_context(shown)?;
            self.0.insert(prompt, clip);
        }
        Ok(self)
    }

    /// Returns what is spoken for a prompt.
    pub(crate) fn of(&self, prompt: Prompt) -> Option<&Clip> {
        self.0.get(&prompt)
    }
}

macro_rules! prompts {
    ($($prompt:ident = $name:literal,)*) => {
        /// How the files of prompts are named.
        const NAMES: [(Prompt, &str); 16] = [$((Prompt::$prompt, $name)),*];

        /// What comes with the program; made by deploy/dev/sounds.
        const LANGUAGES: [(&str, [(Prompt, &[u8]); 16]); 3] = [
            ("en", [$((Prompt::$prompt, include_bytes!(concat!("../sounds/en/", $name, ".opus")))),*]),
            ("de", [$((Prompt::$prompt, include_bytes!(concat!("../sounds/de/", $name, ".opus")))),*]),
            ("fr", [$((Prompt::$prompt, include_bytes!(concat!("../sounds/fr/", $name, ".opus")))),*]),
        ];
    };
}

prompts! {
    Number = "number",
    Pin = "pin",
    Wrong = "wrong",
    Refused = "refused",
    Wait = "wait",
    Alone = "alone",
    Muted = "muted",
    Unmuted = "unmuted",
    HandUp = "hand-up",
    HandDown = "hand-down",
    AllMuted = "all-muted",
    Locked = "locked",
    Unlocked = "unlocked",
    HostOnly = "host-only",
    Recorded = "recorded",
    Listening = "listening",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_of_every_language_can_be_heard_and_is_short() {
        for (language, _) in LANGUAGES {
            let sounds = Sounds::in_language(Some(language)).unwrap();

            for (prompt, name) in NAMES {
                let clip = sounds.of(prompt).unwrap();
                let seconds = clip.samples().len() as f32 / Clip::RATE.hz() as f32;
                let loudest = clip.samples().iter().map(|it| it.unsigned_abs()).max();
                assert!(
                    (0.5..6.0).contains(&seconds),
                    "{language} {name}: {seconds} s"
                );
                assert!(loudest > Some(3_000), "{language} {name}: {loudest:?}");
            }
        }
    }

    #[test]
    fn a_language_that_is_not_there_is_refused_with_those_that_are() {
        let error = Sounds::in_language(Some("tlh")).unwrap_err().to_string();

        assert!(error.contains("en, de, fr"), "{error}");
        assert!(Sounds::in_language(None).unwrap().of(Prompt::Pin).is_none());
    }

    #[test]
    fn recordings_of_a_folder_take_the_place_of_ours_and_bad_ones_are_named() {
        let folder = std::env::temp_dir().join(format!("moqrelay-sounds-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let own = include_bytes!("../sounds/en/alone.opus");
        fs::write(folder.join("pin.opus"), own).unwrap();
        let ours = Sounds::in_language(Some("en")).unwrap();

        let sounds = ours.clone().with_folder(&folder).unwrap();

        assert_eq!(sounds.of(Prompt::Pin), ours.of(Prompt::Alone));
        assert_eq!(sounds.of(Prompt::Number), ours.of(Prompt::Number));
        fs::write(folder.join("pin.opus"), b"RIFF").unwrap();
        let error = format!("{:#}", ours.clone().with_folder(&folder).unwrap_err());
        assert!(
            error.contains("pin.opus") && error.contains("no Ogg"),
            "{error}"
        );
        assert!(ours.with_folder(&folder.join("none")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
