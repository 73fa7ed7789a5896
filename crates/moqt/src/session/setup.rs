//! SETUP: what we say, and what the peer may say.

use bytes::Bytes;

use super::{Config, PeerSetup, Role, Transport, fault::Fault, one_stream};
use crate::{AuthToken, Draft, SessionCode, Setup, Token, TokenCache};

/// Longest MOQT_IMPLEMENTATION that is shown, in bytes: it goes to logs.
const IMPLEMENTATION_LEN_BYTES_MAX: usize = 128;

pub(super) fn ours(config: &Config) -> Setup {
    let text = |text: &Option<String>| text.clone().map(Bytes::from);
    let by_uri = config.role == Role::Client && config.transport == Transport::Quic;
    let cache = config.limits.auth_token_cache_bytes_max;
    let one_stream = config.draft.one_control_stream();
    Setup {
        sender: one_stream.then_some(config.role),
        versions: config.draft.version().into_iter().collect(),
        max_request_id: one_stream.then(|| one_stream::first_grant(config)),
        filter_ranges_max: (config.limits.filter_ranges_max > 0)
            .then_some(config.limits.filter_ranges_max as u64),
        request_updates_max: Some(config.limits.updates_max as u64),
        path: by_uri.then(|| text(&config.path)).flatten(),
        authority: by_uri.then(|| text(&config.authority)).flatten(),
        authorization: config.authorization.clone(),
        // Zero is what its absence means.
        auth_token_cache_bytes_max: (cache > 0).then_some(cache),
        implementation: text(&config.implementation),
    }
}

/// Checks the peer's SETUP and resolves its tokens.
pub(super) fn check(
    config: &Config,
    cache: &mut TokenCache,
    mut setup: Setup,
) -> Result<PeerSetup, Fault> {
    if setup.sender.is_some_and(|sender| sender == config.role) {
        return Err(Fault::violation("SETUP of the wrong side"));
    }
    if let Some(version) = config.draft.version()
        && !setup.versions.contains(&version)
    {
        return Err(Fault::new(
            SessionCode::VersionNegotiationFailed,
            "no common version",
        ));
    }
    let by_uri = config.role == Role::Server && config.transport == Transport::Quic;
    if setup.path.is_some() && !by_uri {
        return Err(Fault::new(
            SessionCode::InvalidPath,
            "PATH has no place here",
        ));
    }
    if config.draft == Draft::D14 {
        // Draft 14 gives AUTHORITY and MOQT_IMPLEMENTATION the same number: what cannot be the one is the other.
        let name = setup
            .authority
            .take_if(|text| !by_uri || authority_text(text).is_none());
        setup.implementation = setup.implementation.or(name);
    }
    if setup.authority.is_some() && !by_uri {
        return Err(Fault::new(
            SessionCode::InvalidAuthority,
            "AUTHORITY has no place here",
        ));
    }
    let malformed_path = || Fault::new(SessionCode::MalformedPath, "PATH is not a path");
    let path = setup
        .path
        .map(|path| path_text(&path).ok_or_else(malformed_path))
        .transpose()?;
    let malformed_authority = || {
        Fault::new(
            SessionCode::MalformedAuthority,
            "AUTHORITY is not an authority",
        )
    };
    let authority = setup
        .authority
        .map(|text| authority_text(&text).ok_or_else(malformed_authority))
        .transpose()?;
    Ok(PeerSetup {
        path,
        authority,
        implementation: setup.implementation.as_deref().map(printable),
        tokens: tokens(cache, setup.authorization)?,
        auth_token_cache_bytes_max: setup.auth_token_cache_bytes_max.unwrap_or(0),
    })
}

fn tokens(cache: &mut TokenCache, tokens: Vec<Token>) -> Result<Vec<AuthToken>, Fault> {
    let mut resolved = Vec::new();
    for token in tokens {
        resolved.push(cache.resolve_setup(token)?);
    }
    Ok(resolved)
}

/// `path-abempty [ "?" query ]` of RFC 3986.
fn path_text(path: &[u8]) -> Option<String> {
    let starts_well = matches!(path.first(), None | Some(b'/' | b'?'));
    let text = uri_text(path, b"/?:@")?;
    starts_well.then_some(text)
}

/// `authority` of RFC 3986, its host not empty.
fn authority_text(authority: &[u8]) -> Option<String> {
    let text = uri_text(authority, b":@[]")?;
    let host = text
        .rsplit_once('@')
        .map_or(text.as_str(), |(_, host)| host);
    (!host.is_empty() && !host.starts_with(':')).then_some(text)
}

/// Unreserved characters, sub-delimiters, percent-encoded bytes and `also`.
fn uri_text(bytes: &[u8], also: &[u8]) -> Option<String> {
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'%' => match after.split_first_chunk::<2>() {
                Some((digits, after)) if digits.iter().all(u8::is_ascii_hexdigit) => after,
                _ => return None,
            },
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => after,
            byte if also.contains(byte) => after,
            _ => return None,
        };
    }
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn printable(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(IMPLEMENTATION_LEN_BYTES_MAX)];
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_authorities_follow_the_rules_of_uris() {
        for good in ["", "/", "/moq", "/a/b%20c?token=x.y-z", "?moqt=18"] {
            assert_eq!(path_text(good.as_bytes()).as_deref(), Some(good));
        }
        for bad in ["moq", "/a b", "/a%2", "/a%zz", "/a#b", "/\u{fc}"] {
            assert_eq!(path_text(bad.as_bytes()), None, "{bad}");
        }
        for good in [
            "example.com",
            "example.com:4443",
            "user@[::1]:443",
            "127.0.0.1",
        ] {
            assert_eq!(authority_text(good.as_bytes()).as_deref(), Some(good));
        }
        for bad in ["", ":443", "user@", "user@:1", "a/b", "a b"] {
            assert_eq!(authority_text(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_implementation_name_is_cut_and_freed_of_control_characters() {
        assert_eq!(printable(b"moq\n\x1b[31m"), "moq\u{fffd}\u{fffd}[31m");
        assert_eq!(printable(&[b'a'; 1000]).len(), IMPLEMENTATION_LEN_BYTES_MAX);
    }
}
