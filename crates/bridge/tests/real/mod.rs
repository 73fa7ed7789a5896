//! A real Asterisk, a telephone, and the smallest AudioSocket server, for tests.

#![allow(unused_imports, reason = "each test uses its part")]

mod asterisk;
mod phone;
mod proxy;
mod stub;
mod tone;

pub use asterisk::Asterisk;
pub use phone::Phone;
pub use proxy::Proxy;
pub use stub::Stub;
pub use tone::{share, strength, wav_tail};

use std::time::Duration;

/// What only a fault reaches.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}
