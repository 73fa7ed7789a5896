//! Our own formats, bytes to values and back. No I/O.
//!
//! MoQT itself is in `moqrelay-moqt`; `docs/protocol.md` describes what is here.

pub mod audio_object;
pub mod audiosocket;
pub mod catalog;
pub mod chan_websocket;
pub mod conference;
pub mod file;
pub mod rtp;
pub mod signal;
pub mod speakers;
pub mod text_track;
pub mod video_object;
pub mod websocket;
