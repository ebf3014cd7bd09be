//! Server addresses as people type them. Plain http is for this machine alone.

use reqwest::Url;

use super::ApiError;

/// Reads a server address as people type it.
pub(super) fn parse_address(address: &str) -> Result<Url, ApiError> {
    let address = address.trim();
    let full = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let url = Url::parse(&full).map_err(|_| ApiError::BadAddress)?;
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(ApiError::BadAddress),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_sent_in_the_clear_to_another_machine() {
        for address in ["http://clinic.example", "ftp://clinic.example", "", "https://", "http://127.example"]
        {
            assert!(parse_address(address).is_err(), "{address}");
        }
    }
}
