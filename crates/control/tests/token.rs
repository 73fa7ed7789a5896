//! Which tokens hold.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use moqrelay_control::token::{
    Claims, Key, KeyError, Keys, LEEWAY, LEN_MAX, Material, PATHS_MAX, TokenError,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &[u8] = b"thirty-two bytes and a few more.";
const NOW: u64 = 1_800_000_000;

#[test]
fn what_was_signed_is_what_is_read() {
    for material in [hs256(SECRET), Material::Es256Private(private_pem())] {
        let keys = keys([key(None, material)]);

        assert_eq!(keys.verify(&keys.sign(&claims()), now()), Ok(claims()));
    }
}

#[test]
fn a_public_key_verifies_what_its_private_key_signed() {
    let (private, public) = pems(&ECDSA_P256_SHA256_FIXED_SIGNING, P256);
    let token = keys([key(Some("a"), Material::Es256Private(private))]).sign(&claims());

    let verifier = keys([key(Some("a"), Material::Es256Public(public))]);

    assert_eq!(verifier.verify(&token, now()), Ok(claims()));
}

#[test]
fn the_first_key_that_can_sign_signs_and_all_verify() {
    let (_, public) = pems(&ECDSA_P256_SHA256_FIXED_SIGNING, P256);
    let first = key(Some("old"), hs256(SECRET));
    let second = key(Some("new"), hs256(&[7; 32]));
    let all = keys([
        key(Some("theirs"), Material::Es256Public(public)),
        first,
        second.clone(),
    ]);

    let header = part(&all.sign(&claims()), 0);
    let by_second = keys([second]).sign(&claims());

    assert_eq!(header["kid"], "old");
    assert!(all.verify(&by_second, now()).is_ok());
}

#[test]
fn without_a_key_that_signs_one_is_drawn() {
    let (one, other) = (keys([]), keys([]));

    assert!(one.verify(&one.sign(&claims()), now()).is_ok());
    assert_eq!(
        other.verify(&one.sign(&claims()), now()),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let (_, public) = pems(&ECDSA_P256_SHA256_FIXED_SIGNING, P256);
    let keys = keys([key(Some("a"), Material::Es256Public(public.clone()))]);
    for secret in [public.as_bytes(), public.trim().as_bytes()] {
        let confused = hand_signed(json!({"alg": "HS256", "kid": "a"}), &raw(), secret);

        assert_eq!(keys.verify(&confused, now()), Err(TokenError::Algorithm));
    }
}

#[test]
fn no_algorithm_is_no_token() {
    let keys = keys([key(None, hs256(SECRET))]);
    for alg in ["none", "None", "HS256 ", ""] {
        let unsigned = format!("{}.{}.", encode(&json!({"alg": alg})), encode(&raw()));

        assert_eq!(
            keys.verify(&unsigned, now()),
            Err(TokenError::Malformed),
            "{alg}"
        );
    }
}

#[test]
fn an_algorithm_beside_the_list_is_refused_even_with_the_right_secret() {
    let keys = keys([key(None, hs256(SECRET))]);

    for alg in ["HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let token = hand_signed(json!({"alg": alg}), &raw(), SECRET);
        assert_eq!(
            keys.verify(&token, now()),
            Err(TokenError::Algorithm),
            "{alg}"
        );
    }
}

#[test]
fn an_extension_that_must_be_understood_is_refused() {
    let keys = keys([key(None, hs256(SECRET))]);
    let token = hand_signed(
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        &raw(),
        SECRET,
    );

    assert_eq!(keys.verify(&token, now()), Err(TokenError::Malformed));
}

#[test]
fn another_key_s_signature_does_not_match() {
    let token = keys([key(None, hs256(&[1; 32]))]).sign(&claims());

    let keys = keys([key(None, hs256(SECRET))]);

    assert_eq!(keys.verify(&token, now()), Err(TokenError::Signature));
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let keys = keys([key(None, hs256(SECRET))]);
    let token = keys.sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let mut changed = part(&token, 1);
    changed["put"] = json!("");

    let forged = format!("{}.{}.{}", parts[0], encode(&changed), parts[2]);

    assert_eq!(keys.verify(&forged, now()), Err(TokenError::Signature));
}

#[test]
fn a_kid_that_nobody_has_is_unknown() {
    let token = keys([key(Some("a"), hs256(SECRET))]).sign(&claims());

    let keys = keys([key(Some("b"), hs256(SECRET))]);

    assert_eq!(keys.verify(&token, now()), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_ends_with_its_time_and_the_leeway() {
    let keys = keys([key(None, hs256(SECRET))]);
    let token = keys.sign(&claims());
    let end = UNIX_EPOCH + Duration::from_secs(claims().exp) + LEEWAY;

    assert!(keys.verify(&token, end - Duration::from_secs(1)).is_ok());
    assert_eq!(keys.verify(&token, end), Err(TokenError::Expired));
    assert_eq!(claims().refused_from(), end);
}

#[test]
fn a_token_does_not_begin_before_its_time() {
    let keys = keys([key(None, hs256(SECRET))]);
    let token = keys.sign(&Claims {
        nbf: Some(NOW + 60),
        ..claims()
    });

    assert_eq!(keys.verify(&token, now()), Err(TokenError::NotYet));
    assert!(
        keys.verify(&token, now() + Duration::from_secs(60) - LEEWAY)
            .is_ok()
    );
}

#[test]
fn times_may_have_fractions() {
    let value = changed("exp", json!(NOW as f64 + 0.75));

    assert_eq!(verify(&value).unwrap().exp, NOW);
}

#[test]
fn each_claim_must_have_its_form() {
    let long = "x".repeat(65);
    let many: Vec<String> = vec!["room".into(); PATHS_MAX + 1];
    for (claim, value) in [
        ("sub", json!("Anna")),
        ("sub", json!("")),
        ("sub", json!(long)),
        ("name", json!("")),
        ("name", json!(" ")),
        ("name", json!(long)),
        ("name", json!("a\nb")),
        ("number", json!("12a")),
        ("number", json!("")),
        ("as", json!("")),
        ("as", json!("room//p1")),
        ("put", json!(many)),
        ("get", json!(many)),
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("nbf", json!({})),
    ] {
        assert_eq!(
            verify(&changed(claim, value.clone())),
            Err(TokenError::Claim(claim)),
            "{value}"
        );
    }
}

#[test]
fn a_token_must_be_for_us_and_must_end() {
    assert_eq!(
        verify(&changed("aud", json!("others"))),
        Err(TokenError::Audience)
    );
    assert_eq!(
        verify(&changed("aud", json!(null))),
        Err(TokenError::Audience)
    );
    assert_eq!(
        verify(&changed("aud", json!([]))),
        Err(TokenError::Audience)
    );
    assert!(verify(&changed("aud", json!(["others", "moqrelay"]))).is_ok());
    assert_eq!(
        verify(&changed("exp", json!(null))),
        Err(TokenError::NoExpiry)
    );
}

#[test]
fn a_path_alone_is_a_list_of_one() {
    let claims = verify(&changed("put", json!("room/a"))).unwrap();

    assert_eq!(claims.put, ["room/a"]);
    assert_eq!(claims.get, Vec::<String>::new());
}

#[test]
fn what_is_no_token_is_malformed() {
    let keys = keys([key(None, hs256(SECRET))]);
    let long = "a".repeat(LEN_MAX + 1);
    for text in ["", ".", "..", "a.b.c", "ä.ö.ü", long.as_str()] {
        assert_eq!(
            keys.verify(text, now()),
            Err(TokenError::Malformed),
            "{text}"
        );
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let (p384_private, p384_public) = pems(&ECDSA_P384_SHA384_FIXED_SIGNING, P384);
    let public = pems(&ECDSA_P256_SHA256_FIXED_SIGNING, P256).1;

    let refused = |material| Keys::new([key(None, material)]).unwrap_err();

    assert!(matches!(
        refused(hs256(&SECRET[1..])),
        KeyError::ShortSecret(31)
    ));
    assert!(matches!(
        refused(Material::Es256Private(p384_private)),
        KeyError::Pem(_)
    ));
    assert!(matches!(
        refused(Material::Es256Public(p384_public)),
        KeyError::Pem(_)
    ));
    assert!(matches!(
        refused(Material::Es256Private(public)),
        KeyError::Pem(_)
    ));
    assert!(matches!(
        refused(Material::Es256Public("no pem".into())),
        KeyError::Pem(_)
    ));
    let twice = [key(Some("a"), hs256(SECRET)), key(Some("a"), hs256(SECRET))];
    assert!(matches!(
        Keys::new(twice).unwrap_err(),
        KeyError::DuplicateKid(_)
    ));
}

#[test]
fn keys_do_not_show_their_secrets() {
    let keys = keys([key(Some("a"), hs256(SECRET))]);

    assert_eq!(format!("{keys:?}"), "[(Some(\"a\"), HS256)]");
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,300}") {
        prop_assert!(keys([key(None, hs256(SECRET))]).verify(&text, now()).is_err());
    }

    #[test]
    fn any_signed_json_is_read_or_refused(value in json_value()) {
        let token = hand_signed(json!({"alg": "HS256"}), &value, SECRET);
        // Nothing but a panic is a fault.
        let _verified = keys([key(None, hs256(SECRET))]).verify(&token, now());
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let names = ["sub", "name", "number", "put", "get", "aud", "nbf", "exp"];
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!("moqrelay")),
        Just(json!(["a", 1])),
        any::<f64>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        ".{0,70}".prop_map(|value| json!(value)),
    ];
    let name = prop::sample::select(names.to_vec());
    prop::collection::btree_map(name, value, 0..8).prop_map(|fields| json!(fields))
}

fn verify(claims: &Value) -> Result<Claims, TokenError> {
    let token = hand_signed(json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET);
    keys([key(None, hs256(SECRET))]).verify(&token, now())
}

/// Our claims with one of them otherwise; null takes it away.
fn changed(claim: &str, value: Value) -> Value {
    let mut claims = raw();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(claim);
    } else {
        claims[claim] = value;
    }
    claims
}

fn raw() -> Value {
    json!({"sub": "anna", "name": "Anna", "number": "7001", "aud": "moqrelay", "exp": NOW + 60})
}

fn claims() -> Claims {
    Claims {
        sub: Some("anna".into()),
        name: Some("Anna".into()),
        number: Some("7001".into()),
        put: vec!["room/a/p1".into()],
        get: vec!["room/a".into(), "room/b".into()],
        participant: Some("room/a/p1".into()),
        nbf: None,
        exp: NOW + 60,
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn keys(keys: impl IntoIterator<Item = Key>) -> Keys {
    Keys::new(keys).unwrap()
}

fn key(kid: Option<&str>, material: Material) -> Key {
    Key {
        kid: kid.map(str::to_owned),
        material,
    }
}

fn hs256(secret: &[u8]) -> Material {
    Material::Hs256(secret.to_vec())
}

fn private_pem() -> String {
    pems(&ECDSA_P256_SHA256_FIXED_SIGNING, P256).0
}

/// SubjectPublicKeyInfo up to the point (RFC 5480): id-ecPublicKey and the curve.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// A new pair of keys.
fn pems(algorithm: &'static EcdsaSigningAlgorithm, prefix: &[u8]) -> (String, String) {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref()).unwrap();
    let public = [prefix, pair.public_key().as_ref()].concat();
    (
        pem("PRIVATE KEY", private.as_ref()),
        pem("PUBLIC KEY", &public),
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// A token whose header says what it likes, signed with HMAC-SHA-256.
fn hand_signed(header: Value, claims: &Value, secret: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let message = format!("{}.{}", encode(&header), encode(claims));
    let signature = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
