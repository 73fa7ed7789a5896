//! Names and secrets that nobody guesses.

use uuid::Uuid;

/// Returns 32 hex digits, 122 of their 128 bits at random.
pub(crate) fn name() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Returns an id with 122 bits at random.
pub(crate) fn id() -> u128 {
    Uuid::new_v4().as_u128()
}

/// Returns a key for HS256 with 244 bits at random.
pub(crate) fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    let (one, two) = secret.split_at_mut(16);
    one.copy_from_slice(Uuid::new_v4().as_bytes());
    two.copy_from_slice(Uuid::new_v4().as_bytes());
    secret
}

/// Compares in a time that does not tell where the difference is.
pub(crate) fn same_secret(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}
