//! Files in rooms: told by their content, named in a header.
#![allow(clippy::unwrap_used)]

use moqrelay_wire::file::{FileType, NAME_LEN_MAX, NameError, decode_name, encode_name};
use proptest::prelude::*;

#[test]
fn a_file_is_what_its_first_bytes_say() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
    for (content, expected) in [
        (&png[..], Some(FileType::Png)),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", Some(FileType::Jpeg)),
        (b"GIF89a\x01\0", Some(FileType::Gif)),
        (b"GIF87a\x01\0", Some(FileType::Gif)),
        (b"RIFF\x24\0\0\0WEBPVP8 ", Some(FileType::Webp)),
        (b"%PDF-1.7\n", Some(FileType::Pdf)),
        (
            "Gr\u{fc}\u{df}e\n\tan alle\r\n".as_bytes(),
            Some(FileType::Text),
        ),
        // What a browser would take for a page is text, and is handed out as such.
        (b"<script>alert(1)</script>", Some(FileType::Text)),
        (b"MZ\x90\0", None),
        (b"\x7fELF\x02", None),
        (b"RIFF\x24\0\0\0WAVEfmt ", None),
        (b"PK\x03\x04", None),
        (b"colour\x1b[31m", None),
        (b"\xff\xfe", None),
        (b"", None),
    ] {
        assert_eq!(FileType::of(content), expected, "{content:?}");
    }
    // Cut off, it is none.
    assert_eq!(FileType::of(&png[..12]), None);
}

#[test]
fn a_content_type_names_a_file_type_whatever_its_parameters() {
    assert_eq!(
        FileType::named("Text/Plain; charset=utf-8"),
        Some(FileType::Text)
    );
    assert_eq!(FileType::named("text/html"), None);
    assert_eq!(FileType::named(""), None);
    for it in FileType::ALL {
        assert_eq!(FileType::named(it.as_str()), Some(it));
    }
}

#[test]
fn a_name_that_is_no_percent_encoded_text_is_refused() {
    assert_eq!(decode_name(b"a%20%C3%BC.png").unwrap(), "a \u{fc}.png");
    assert_eq!(decode_name(b"a%2"), Err(NameError::Escape(1)));
    assert_eq!(decode_name(b"%+1"), Err(NameError::Escape(0)));
    assert_eq!(decode_name(b"%ff"), Err(NameError::Utf8));
    let long = vec![b'a'; NAME_LEN_MAX + 1];
    assert_eq!(decode_name(&long), Err(NameError::TooLong(long.len())));
}

proptest! {
    #[test]
    fn a_name_comes_out_as_it_went_in(name in "\\PC{0,80}") {
        let written = encode_name(&name);

        prop_assert!(written.is_ascii() && !written.contains(['"', ';', ' ', '\'']));
        prop_assert_eq!(decode_name(written.as_bytes()).unwrap(), name);
    }
}
