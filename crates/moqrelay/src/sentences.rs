//! What is said of those who come into rooms and go.

use moqrelay_room::conference::{Called, Coming, News};

/// The longest name that is said, in characters: two seconds.
const NAME_CHARS_MAX: usize = 30;

/// Numbers with more digits are said by their end: to hear who it is takes no more.
const DIGITS_MAX: usize = 6;
const DIGITS_OF_LONG: usize = 4;

/// The sentences of one language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sentences(&'static Language);

#[derive(Debug)]
struct Language {
    name: &'static str,
    /// Of one (`{a}`), of two (`{a}`, `{b}`), of so many (`{n}`).
    joined: [&'static str; 3],
    left: [&'static str; 3],
    telephone: &'static str,
    /// `{digits}`.
    numbered: &'static str,
    /// The same of a long number.
    ending: &'static str,
    somebody: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "en",
        joined: [
            "{a} has joined.",
            "{a} and {b} have joined.",
            "{n} people have joined.",
        ],
        left: [
            "{a} has left.",
            "{a} and {b} have left.",
            "{n} people have left.",
        ],
        telephone: "A telephone",
        numbered: "Telephone {digits}",
        ending: "A telephone ending in {digits}",
        somebody: "Somebody",
    },
    Language {
        name: "de",
        joined: [
            "{a} ist dazugekommen.",
            "{a} und {b} sind dazugekommen.",
            "{n} Personen sind dazugekommen.",
        ],
        left: [
            "{a} ist gegangen.",
            "{a} und {b} sind gegangen.",
            "{n} Personen sind gegangen.",
        ],
        telephone: "Ein Telefon",
        numbered: "Telefon {digits}",
        ending: "Ein Telefon mit der Endung {digits}",
        somebody: "Jemand",
    },
    Language {
        name: "fr",
        joined: [
            "{a} a rejoint la réunion.",
            "{a} et {b} ont rejoint la réunion.",
            "{n} personnes ont rejoint la réunion.",
        ],
        left: [
            "{a} a quitté la réunion.",
            "{a} et {b} ont quitté la réunion.",
            "{n} personnes ont quitté la réunion.",
        ],
        telephone: "Un téléphone",
        numbered: "Téléphone {digits}",
        ending: "Un téléphone qui finit par {digits}",
        somebody: "Quelqu'un",
    },
];

impl Sentences {
    /// Returns those of a language, if it is known.
    pub(crate) fn in_language(name: &str) -> Option<Self> {
        LANGUAGES.iter().find(|it| it.name == name).map(Self)
    }

    /// Returns what is said; none of it has a meaning for a program that speaks.
    pub(crate) fn of(self, news: &[News]) -> String {
        let sentences: Vec<String> = news.iter().map(|it| self.sentence(it)).collect();
        sentences.join(" ")
    }

    fn sentence(self, news: &News) -> String {
        let [one, two, many] = match news.coming {
            Coming::Joined => &self.0.joined,
            Coming::Left => &self.0.left,
        };
        match news.named.as_slice() {
            [a] => one.replace("{a}", &self.called(a)),
            [a, b] => {
                // Neither has braces.
                let sentence = two.replace("{a}", &self.called(a));
                sentence.replace("{b}", &self.called(b))
            }
            _ => many.replace("{n}", &news.people.to_string()),
        }
    }

    fn called(self, called: &Called) -> String {
        let name = match called {
            Called::Name(name) => plain(name),
            Called::Number(digits) => return self.numbered(digits),
            Called::Telephone => return self.0.telephone.to_owned(),
            Called::Somebody => String::new(),
        };
        match name.is_empty() {
            true => self.0.somebody.to_owned(),
            false => name,
        }
    }

    fn numbered(self, digits: &str) -> String {
        let digits: Vec<char> = digits.chars().collect();
        let (words, said) = match digits.len() > DIGITS_MAX {
            true => (self.0.ending, digits.len() - DIGITS_OF_LONG),
            false => (self.0.numbered, 0),
        };
        let said = digits.get(said..).unwrap_or_default();
        // Apart, so that 8002 is not eight thousand and two.
        let said: Vec<String> = said.iter().map(char::to_string).collect();
        words.replace("{digits}", &said.join(" "))
    }
}

/// Returns what of a name is said: letters and what belongs to them. Programs that speak read brackets, ampersands and
/// the like as marks of their own.
fn plain(name: &str) -> String {
    let said = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || matches!(c, '\'' | '-' | '.' | ','),
        false => !c.is_control(),
    };
    let name: String = name
        .chars()
        .map(|c| if said(c) { c } else { ' ' })
        .collect();
    let words: Vec<&str> = name.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
    // What has no letter would be read as signs, or not at all.
    match name.chars().any(char::is_alphanumeric) {
        true => name.trim_end().to_owned(),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two_are_named_and_many_are_counted() {
        let anna = || Called::Name("Anna Berg".into());
        let named = |coming, named: Vec<Called>| News {
            coming,
            people: named.len(),
            named,
        };
        let crowd = News {
            coming: Coming::Joined,
            people: 12,
            named: Vec::new(),
        };
        let number = Called::Number("8002".into());
        let long = Called::Number("4930901820".into());
        for (language, news, sentence) in [
            (
                "en",
                vec![named(Coming::Joined, vec![anna()])],
                "Anna Berg has joined.",
            ),
            (
                "en",
                vec![named(Coming::Left, vec![anna(), Called::Telephone])],
                "Anna Berg and A telephone have left.",
            ),
            (
                "en",
                vec![crowd.clone(), named(Coming::Left, vec![long])],
                "12 people have joined. A telephone ending in 1 8 2 0 has left.",
            ),
            (
                "de",
                vec![named(Coming::Joined, vec![number])],
                "Telefon 8 0 0 2 ist dazugekommen.",
            ),
            (
                "fr",
                vec![named(Coming::Left, vec![Called::Somebody])],
                "Quelqu'un a quitté la réunion.",
            ),
            ("de", vec![crowd], "12 Personen sind dazugekommen."),
        ] {
            assert_eq!(
                Sentences::in_language(language).unwrap().of(&news),
                sentence
            );
        }
    }

    #[test]
    fn a_name_is_letters_whatever_somebody_types() {
        for (name, said) in [
            ("Anna-Lena O'Hara, Dr.", "Anna-Lena O'Hara, Dr."),
            (
                "<speak><break time=\"9s\"/>Eve</speak>",
                "speak break time 9s Eve speak",
            ),
            ("[[h@'loU]] & {b} \\x; $(reboot)", "h 'loU b x reboot"),
            ("Ωμέγα 李明 Zoë", "Ωμέγα 李明 Zoë"),
            ("\u{1}\u{7f}\n--help", "--help"),
            ("***", ""),
            ("", ""),
        ] {
            assert_eq!(plain(name), said, "{name:?}");
        }
        assert_eq!(plain(&"x".repeat(64)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn every_language_of_the_prompts_has_sentences() {
        for language in ["en", "de", "fr"] {
            assert!(Sentences::in_language(language).is_some());
        }
        assert!(Sentences::in_language("tlh").is_none());
    }
}
