//! Sentences that are spoken by a program: it is given the text and gives a WAV file.
//!
//! Whoever wants one never waits: what has been spoken is kept, the rest comes later.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use moqrelay_bridge::Clip;
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::mpsc, task, task::JoinSet, time::timeout};

/// Sentences that wait for the program: one for each of as many rooms. Others are not spoken.
const WANTED_MAX: usize = 64;

/// Programs that run at a time: each takes a core for some hundredths of a second, and calls need them more.
const RUNNING_MAX: usize = 2;

/// How long a sentence takes at most: what comes later is no news.
const RUN_MAX: Duration = Duration::from_secs(4);

/// What a program may write: twelve seconds at 48 kHz, and some more. What is longer is cut.
const WAV_BYTES_MAX: u64 = 2 << 20;

/// What is kept of sentences, in samples: 8 MiB, some two minutes each of a hundred meetings' regulars.
const KEPT_SAMPLES_MAX: usize = 4 << 20;

/// The environment that a program gets: ours has secrets.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "LANG", "LC_ALL"];

/// A program that speaks: takes a text on its standard input, gives a WAV file (PCM, 16 bits, mono) on its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    command: String,
    arguments: Vec<String>,
}

/// A sentence that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) text: String,
    /// What is longer is cut.
    pub(crate) longest: Duration,
}

/// A sentence, or that there is none.
#[derive(Debug)]
pub(crate) struct Spoken {
    text: String,
    clip: Result<Clip>,
}

/// Sentences of one language, and those who wait for them.
#[derive(Debug)]
pub(crate) struct Speech<T> {
    wanted: mpsc::Sender<Wanted>,
    waiting: BTreeMap<String, Vec<T>>,
    kept: Kept,
}

/// What there is of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<T> {
    Now(Clip, T),
    /// By [`Speech::take`].
    Later,
    Never(T),
}

impl Program {
    /// Takes a command and its arguments; `{language}` in them becomes the language.
    ///
    /// # Errors
    ///
    /// When there is no command.
    pub(crate) fn new(command: &[String], language: &str) -> Result<Self> {
        let mut words = command.iter().map(|it| it.replace("{language}", language));
        let command = words.next().filter(|it| !it.is_empty());
        Ok(Self {
            command: command.context("a command, and its arguments")?,
            arguments: words.collect(),
        })
    }

    async fn speak(&self, wanted: &Wanted) -> Result<Clip> {
        let (stdin, mut text) = io::pipe()?;
        // A sentence is far shorter than what a pipe holds, so that this does not wait.
        ensure!(wanted.text.len() <= TEXT_BYTES_MAX, "the text is too long");
        text.write_all(wanted.text.as_bytes())?;
        drop(text);
        let (sound, stdout) = io::pipe()?;
        let mut command = Command::new(&self.command);
        let environment = ENVIRONMENT.map(|name| Some((name, std::env::var_os(name)?)));
        command
            .args(&self.arguments)
            .env_clear()
            .envs(environment.into_iter().flatten())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::null());
        // With the command go our ends of its pipes.
        let start = move || command.spawn().map(Running);
        let running = task::spawn_blocking(start).await?;
        let running = running.with_context(|| self.command.clone())?;
        let sound = pipe::Receiver::from_owned_fd(sound.into())?;
        let mut wav = Vec::new();
        sound.take(WAV_BYTES_MAX).read_to_end(&mut wav).await?;
        let longest = Clip::RATE.samples_in(wanted.longest);
        let read = move || {
            drop(running);
            let clip = Clip::from_wav(&wav)?;
            Ok(match clip.samples().get(..longest) {
                Some(start) => Clip::from_samples(start),
                None => clip,
            })
        };
        let clip: Result<Clip> = task::spawn_blocking(read).await?;
        clip.with_context(|| format!("what {} has written", self.command))
    }
}

/// The longest text: some sentences, and a quarter of what a pipe holds at least.
const TEXT_BYTES_MAX: usize = 1024;

/// A program that is ended when nobody wants it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::debug!(%error, "a program that speaks cannot be ended");
        }
    }
}

impl<T> Speech<T> {
    /// Returns what takes sentences, the work of speaking them, and what is spoken.
    pub(crate) fn new(
        program: Program,
    ) -> (
        Self,
        impl Future<Output = ()> + Send + 'static,
        mpsc::Receiver<Spoken>,
    ) {
        let (wanted, wanted_rx) = mpsc::channel(WANTED_MAX);
        let (spoken, spoken_rx) = mpsc::channel(RUNNING_MAX);
        let speech = Self {
            wanted,
            waiting: BTreeMap::new(),
            kept: Kept::default(),
        };
        (speech, run(Arc::new(program), wanted_rx, spoken), spoken_rx)
    }

    /// Wants a sentence for `whom`.
    pub(crate) fn say(&mut self, wanted: Wanted, whom: T) -> Said<T> {
        if let Some(clip) = self.kept.get(&wanted.text) {
            return Said::Now(clip, whom);
        }
        let text = wanted.text.clone();
        if let Some(waiting) = self.waiting.get_mut(&text) {
            waiting.push(whom);
            return Said::Later;
        }
        match self.wanted.try_send(wanted) {
            Ok(()) => {
                self.waiting.insert(text, vec![whom]);
                Said::Later
            }
            Err(_) => Said::Never(whom),
        }
    }

    /// Takes a sentence; returns who waits for it.
    pub(crate) fn take(&mut self, spoken: Spoken) -> (Result<Clip>, Vec<T>) {
        let waiting = self.waiting.remove(&spoken.text).unwrap_or_default();
        if let Ok(clip) = &spoken.clip {
            self.kept.keep(spoken.text, clip.clone());
        }
        (spoken.clip, waiting)
    }
}

async fn run(
    program: Arc<Program>,
    mut wanted: mpsc::Receiver<Wanted>,
    spoken: mpsc::Sender<Spoken>,
) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some(wanted) = wanted.recv(), if running.len() < RUNNING_MAX => {
                let program = Arc::clone(&program);
                running.spawn(async move {
                    let clip = timeout(RUN_MAX, program.speak(&wanted)).await;
                    let clip = clip.unwrap_or_else(|_| {
                        Err(anyhow::anyhow!("{} took longer than {RUN_MAX:?}", program.command))
                    });
                    Spoken { text: wanted.text, clip }
                });
            }
            Some(done) = running.join_next() => match done {
                Ok(done) => if spoken.send(done).await.is_err() {
                    return;
                },
                Err(error) => tracing::error!(%error, "speaking has failed"),
            },
            else => return,
        }
    }
}

/// What was spoken last.
#[derive(Debug, Default)]
struct Kept {
    clips: BTreeMap<String, (u64, Clip)>,
    samples: usize,
    uses: u64,
}

impl Kept {
    fn get(&mut self, text: &str) -> Option<Clip> {
        self.uses += 1;
        let (used, clip) = self.clips.get_mut(text)?;
        *used = self.uses;
        Some(clip.clone())
    }

    fn keep(&mut self, text: String, clip: Clip) {
        self.samples += clip.samples().len();
        self.uses += 1;
        if let Some((_, before)) = self.clips.insert(text, (self.uses, clip)) {
            self.samples -= before.samples().len();
        }
        while self.samples > KEPT_SAMPLES_MAX {
            let oldest = self.clips.iter().min_by_key(|(_, (used, _))| *used);
            let Some(text) = oldest.map(|(text, _)| text.clone()) else {
                return;
            };
            if let Some((_, clip)) = self.clips.remove(&text) {
                self.samples -= clip.samples().len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms at 16 kHz.
    const SAMPLES: usize = 320;

    #[tokio::test]
    async fn a_sentence_comes_later_once_for_all_and_then_at_once() {
        let said = folder().join("said");
        // Says what it is told by writing it down, and how often.
        let script = format!("cat >> {}; {}", said.display(), wav(SAMPLES));
        let (mut speech, run, mut spoken) = speech(&["sh", "-c", &script]);
        let run = tokio::spawn(run);

        assert_eq!(speech.say(wanted("-f Anna $(x)"), 1), Said::Later);
        assert_eq!(speech.say(wanted("-f Anna $(x)"), 2), Said::Later);
        let (clip, whom) = speech.take(spoken.recv().await.unwrap());

        let clip = clip.unwrap();
        assert_eq!((clip.samples().len(), whom), (SAMPLES, vec![1, 2]));
        assert_eq!(speech.say(wanted("-f Anna $(x)"), 3), Said::Now(clip, 3));
        assert_eq!(std::fs::read_to_string(&said).unwrap(), "-f Anna $(x)");
        drop(speech);
        run.await.unwrap();
        std::fs::remove_dir_all(said.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_spoken_is_an_error_with_its_program() {
        for (command, error) in [
            (&["/nowhere/espeak"][..], "/nowhere/espeak"),
            (&["sh", "-c", "echo hello"], "what sh has written: "),
            (&["true"], "ends too early"),
        ] {
            let (mut speech, run, mut spoken) = speech(command);
            let run = tokio::spawn(run);

            assert_eq!(speech.say(wanted("Anna"), 1), Said::Later);
            let (clip, whom) = speech.take(spoken.recv().await.unwrap());

            let found = format!("{:#}", clip.unwrap_err());
            assert!(found.contains(error), "{found}");
            assert_eq!(whom, [1]);
            // It may go better the next time.
            assert_eq!(speech.say(wanted("Anna"), 1), Said::Later);
            drop((speech, spoken));
            run.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_cut_and_the_program_does_not_see_our_environment() {
        // Every test has it from Cargo.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let script = format!("[ -z \"$CARGO_MANIFEST_DIR\" ] && {}", wav(10 * SAMPLES));
        let (mut speech, run, mut spoken) = speech(&["sh", "-c", &script]);
        let run = tokio::spawn(run);
        let wanted = Wanted {
            longest: Duration::from_millis(40),
            ..wanted("Anna")
        };

        speech.say(wanted, 1);
        let (clip, _) = speech.take(spoken.recv().await.unwrap());

        assert_eq!(clip.unwrap().samples().len(), 2 * SAMPLES);
        drop(speech);
        run.await.unwrap();
    }

    #[tokio::test]
    async fn when_too_many_wait_the_rest_is_never_said() {
        let (mut speech, run, spoken) = speech(&["true"]);

        let said: Vec<_> = (0..WANTED_MAX + 2)
            .map(|number| speech.say(wanted(&number.to_string()), number))
            .collect();

        let never = said.iter().filter(|it| matches!(it, Said::Never(_)));
        assert_eq!(never.count(), 2);
        drop((run, spoken));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut kept = Kept::default();
        let clip = |seconds: usize| Clip::from_samples(&vec![0; seconds * 16_000]);
        for number in 0..40 {
            kept.keep(number.to_string(), clip(10));
            assert!(number < 2 || kept.get("1").is_some());
        }

        assert!(kept.samples <= KEPT_SAMPLES_MAX && kept.clips.len() == 26);
        assert!(kept.get("0").is_none() && kept.get("39").is_some());
    }

    #[test]
    fn the_language_takes_its_place_and_a_command_is_needed() {
        let command = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();

        let program = Program::new(&command(&["say", "-v", "{language}"]), "de").unwrap();

        assert_eq!(program.arguments, ["-v", "de"]);
        assert!(Program::new(&[], "de").is_err());
        assert!(Program::new(&command(&[""]), "de").is_err());
    }

    fn speech(
        command: &[&str],
    ) -> (
        Speech<usize>,
        impl Future<Output = ()> + Send + 'static,
        mpsc::Receiver<Spoken>,
    ) {
        let command: Vec<String> = command.iter().map(|it| (*it).to_owned()).collect();
        Speech::new(Program::new(&command, "en").unwrap())
    }

    fn wanted(text: &str) -> Wanted {
        Wanted {
            text: text.to_owned(),
            longest: Duration::from_secs(6),
        }
    }

    /// Returns what a shell does to write so many samples of silence, as one who does not know their number.
    fn wav(samples: usize) -> String {
        let head = r"RIFF\377\377\377\177WAVEfmt \020\0\0\0\001\0\001\0\200\076\0\0\0\175\0\0\002\0\020\0data\377\377\377\177";
        let bytes = 2 * samples;
        format!("printf '{head}'; head -c {bytes} /dev/zero")
    }

    fn folder() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("moqrelay-speech-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        path
    }
}
