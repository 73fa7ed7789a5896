//! Tokens of any text, and signed ones with any header and claims: what holds names us, has not ended
//! and has the form that its claims must have.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use moqrelay_control::token::{Key, Keys, LEEWAY, LEN_MAX, Material, NAME_CHARS_MAX, PATHS_MAX};

const SECRET: [u8; 32] = [7; 32];
const NOW: Duration = Duration::from_secs(1_800_000_000);

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = Key {
        kid: Some("a".into()),
        material: Material::Hs256(SECRET.to_vec()),
    };
    Keys::new([key]).expect("the secret is long enough")
});

// The first byte: 0 the text is a token, 1 it is claims, otherwise header and claims in two lines.
fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let token = match mode % 3 {
        0 => text.to_owned(),
        1 => signed(r#"{"alg":"HS256"}"#, text),
        _ => match text.split_once('\n') {
            Some((header, claims)) => signed(header, claims),
            None => return,
        },
    };
    let now = UNIX_EPOCH + NOW;
    let Ok(claims) = KEYS.verify(&token, now) else {
        return;
    };
    assert_ne!(mode % 3, 0, "an unsigned token holds");
    assert!(claims.refused_from() > now);
    assert!(
        claims
            .nbf
            .is_none_or(|nbf| Duration::from_secs(nbf) <= NOW + LEEWAY)
    );
    assert!(claims.put.len() <= PATHS_MAX && claims.get.len() <= PATHS_MAX);
    assert!(
        claims
            .name
            .as_ref()
            .is_none_or(|name| name.chars().count() <= NAME_CHARS_MAX)
    );
    let again = KEYS.sign(&claims);
    // Escapes may have made it longer.
    if again.len() <= LEN_MAX {
        assert_eq!(KEYS.verify(&again, now), Ok(claims));
    }
});

fn signed(header: &str, claims: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &SECRET),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
