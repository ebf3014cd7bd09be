//! How the client's programs log: to standard error, as chatty as `BEDSIDE_LOG` says.
//!
//! A level (`info`, `trace`) counts for Bedside's own crates, whose types keep personal data to themselves. Other
//! crates log what they please (WebRTC's descriptions and addresses, for one), so they are heard only in errors, unless
//! one is named (`info,webrtc=debug`).

use tracing_subscriber::EnvFilter;

/// The environment variable.
const VARIABLE: &str = "BEDSIDE_LOG";
const DEFAULT: &str = "warn";

/// Starts logging. Call once, before anything else runs.
pub fn start() {
    let asked = std::env::var(VARIABLE).unwrap_or_default();
    let filter =
        EnvFilter::try_new(directives(&asked)).unwrap_or_else(|_| EnvFilter::new(directives(DEFAULT)));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// What is asked for, with a bare level meant for our crates. Targets are matched by their beginning.
fn directives(asked: &str) -> String {
    let words = asked.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut all = vec!["error".to_owned(), format!("bedside={DEFAULT}")];
    all.extend(words.map(|word| match word.parse::<tracing::level_filters::LevelFilter>() {
        Ok(_) => format!("bedside={word}"),
        Err(_) => word.to_owned(),
    }));
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_meant_for_our_own_crates() {
        assert_eq!(directives(""), "error,bedside=warn");
        assert_eq!(directives("trace"), "error,bedside=warn,bedside=trace");
    }

    #[test]
    fn other_crates_are_heard_when_they_are_named() {
        assert_eq!(directives("info, webrtc=debug"), "error,bedside=warn,bedside=info,webrtc=debug");
    }
}
