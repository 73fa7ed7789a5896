//! Just enough JSON to write.

/// An object that is being written.
#[derive(Debug, Default)]
pub(super) struct Json {
    text: String,
}

/// A list that is being written.
pub(super) struct List<'a> {
    text: &'a mut String,
    any: bool,
}

impl Json {
    pub(super) fn int(&mut self, key: &str, value: u64) {
        self.key(key);
        self.push(format_args!("{value}"));
    }

    pub(super) fn maybe(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.int(key, value);
        }
    }

    pub(super) fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        self.push(format_args!("{value:.3}"));
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.push(format_args!("{value}"));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(&mut self.text, value);
    }

    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        let mut inner = Json::default();
        fill(&mut inner);
        self.text.push_str(&inner.finish());
    }

    pub(super) fn list(&mut self, key: &str, fill: impl FnOnce(&mut List<'_>)) {
        self.key(key);
        self.text.push('[');
        fill(&mut List {
            text: &mut self.text,
            any: false,
        });
        self.text.push(']');
    }

    /// Returns the object with its braces.
    pub(super) fn finish(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        self.text
    }

    fn key(&mut self, key: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        quote(&mut self.text, key);
        self.text.push(':');
    }

    fn push(&mut self, value: std::fmt::Arguments<'_>) {
        self.text.push_str(&value.to_string());
    }
}

impl List<'_> {
    pub(super) fn text(&mut self, value: &str) {
        self.next();
        quote(self.text, value);
    }

    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Json)) {
        self.next();
        let mut inner = Json::default();
        fill(&mut inner);
        self.text.push_str(&inner.finish());
    }

    fn next(&mut self) {
        if std::mem::replace(&mut self.any, true) {
            self.text.push(',');
        }
    }
}

fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_nest_and_texts_are_quoted() {
        let mut json = Json::default();
        json.text("a\"b", "c\\d\n\u{7f}e");
        json.maybe("none", None);
        json.list("list", |list| {
            list.text("x");
            list.object(|inner| inner.flag("yes", true));
            list.object(|_| {});
        });
        json.float("time", 1.5);

        assert_eq!(
            json.finish(),
            r#"{"a\"b":"c\\d\u000a\u007fe","list":["x",{"yes":true},{}],"time":1.500}"#
        );
    }
}
