//! Files over HTTP, and the hub's addresses. Redirects are followed here and not by the client: the
//! hub tells size, hash and commit in the answer that redirects, and the token may go to the hub
//! alone.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::{HeaderMap, Uri};

use super::error::PullError;
use crate::model::source::HubFile;

/// Most redirects from an address to its bytes.
const MAX_REDIRECTS: usize = 10;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(30);

/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_mins(1);

/// The network as this process sees it.
pub struct Network {
    agent: ureq::Agent,
    /// The hub's address, without a slash at its end.
    endpoint: String,
    token: Option<String>,
    /// The hub's own cache of this user.
    pub(super) hub_cache: Option<PathBuf>,
}

/// A file on its way.
pub(super) struct Answer {
    pub body: Box<dyn Read>,
    pub facts: Facts,
    /// The byte with which the body starts.
    pub starts_at: u64,
}

/// What a server tells of a file.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// Bytes of the whole file.
    pub size: Option<u64>,
    /// Changes with its content.
    pub identity: Option<String>,
    /// Its SHA-256, where the hub tells it.
    pub sha256: Option<String>,
    /// The repository's commit.
    pub commit: Option<String>,
}

impl Network {
    /// The hub by `HF_ENDPOINT`, its token by `HF_TOKEN` or `HF_HOME/token`, its cache in
    /// `HF_HOME`; proxies by the usual variables.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let cache = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
        let home = variable("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| cache.map(|cache| cache.join("huggingface")));
        let kept = || std::fs::read_to_string(home.as_ref()?.join("token")).ok();
        let token = variable("HF_TOKEN").or_else(kept).map(|token| token.trim().to_owned());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let agent = ureq::Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("labelmill/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .build()
            .new_agent();
        Self {
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            hub_cache: home.map(|home| home.join("hub")),
        }
    }

    /// Where the hub has a file.
    pub(super) fn hub_url(&self, file: &HubFile) -> String {
        let path: Vec<String> = file.path.split('/').map(percent_encoded).collect();
        format!(
            "{}/{}/resolve/{}/{}",
            self.endpoint,
            file.repository,
            file.revision,
            path.join("/")
        )
    }

    /// Asks for a file from byte `from` on; the answer says where it really starts.
    pub(super) fn get(&self, url: &str, from: u64) -> Result<Answer, PullError> {
        let mut facts = Facts::default();
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let had_token = self.token.is_some() && self.is_hub(&at);
            let response = self.ask(&at, from)?;
            facts.take(response.headers());
            let status = response.status().as_u16();
            let (start, total) = match status {
                200 => (0, response.body().content_length()),
                206 => content_range(response.headers()).unwrap_or((from, None)),
                // It has no such byte, so what is here is not a part of it.
                416 if from > 0 => return self.get(url, 0),
                301 | 302 | 303 | 307 | 308 => {
                    at = redirected(&at, response.headers())?;
                    continue;
                }
                401 | 403 => {
                    return Err(PullError::Denied {
                        url: at,
                        status,
                        had_token,
                    });
                }
                404 | 410 => return Err(PullError::NotFound { url: at, status }),
                status => return Err(PullError::Status { url: at, status }),
            };
            // What the last server counts is what will come.
            facts.size = total.or(facts.size);
            return Ok(Answer {
                body: Box::new(response.into_body().into_reader()),
                facts,
                starts_at: start,
            });
        }
        Err(PullError::Redirect {
            url: url.to_owned(),
            message: format!("more than {MAX_REDIRECTS} redirects"),
        })
    }

    /// What the server tells of a file, without its bytes.
    pub(super) fn facts(&self, url: &str) -> Result<Facts, PullError> {
        self.get(url, 0).map(|answer| answer.facts)
    }

    fn ask(&self, url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, PullError> {
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(url)) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|error| PullError::Unreachable {
            url: url.to_owned(),
            message: error.to_string(),
        })
    }

    fn is_hub(&self, url: &str) -> bool {
        url.strip_prefix(&self.endpoint)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Facts {
    /// Adds what an answer tells; the first one to tell a thing is the hub.
    fn take(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let unquoted = |value: &str| value.trim_start_matches("W/").trim_matches('"').to_owned();
        let linked = text("x-linked-etag").map(unquoted);
        let is_sha256 = |value: &String| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.sha256 = self.sha256.take().or(linked.clone().filter(is_sha256));
        self.identity = self.identity.take().or(linked).or(text("etag").map(unquoted));
        self.commit = self.commit.take().or(text("x-repo-commit").map(str::to_owned));
        let size = text("x-linked-size").and_then(|size| size.parse().ok());
        self.size = self.size.or(size);
    }
}

/// Start and whole length by `Content-Range: bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// The address that a redirect from `url` leads to.
fn redirected(url: &str, headers: &HeaderMap) -> Result<String, PullError> {
    let wrong = |message: &str| PullError::Redirect {
        url: url.to_owned(),
        message: message.to_owned(),
    };
    let location = headers.get("location").and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| wrong("it redirects and does not say where"))?;
    let base: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
    let (scheme, host) = (
        base.scheme_str().unwrap_or("https"),
        base.authority().map_or("", |host| host.as_str()),
    );
    let target = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{host}{folder}/{location}")
    };
    if scheme == "https" && !target.starts_with("https://") {
        return Err(wrong("it redirects from https to an address that is not"));
    }
    Ok(target)
}

/// A part of a path as addresses write it.
fn percent_encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    part.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_redirect_may_be_absolute_or_relative_and_never_leaves_https() {
        let to = |url: &str, location: &str| redirected(url, &headers(&[("location", location)]));
        for (location, wanted) in [
            ("https://c.org/x", "https://c.org/x"),
            ("//c.org/x", "https://c.org/x"),
            ("/x?y", "https://a.org:1/x?y"),
            ("x", "https://a.org:1/b/x"),
        ] {
            assert_eq!(to("https://a.org:1/b/c?d", location).unwrap(), wanted);
        }
        assert!(to("https://a.org/b", "http://a.org/b").is_err());
        assert!(redirected("https://a.org/b", &headers(&[])).is_err());
    }

    #[test]
    fn what_the_hub_tells_comes_before_what_the_storage_tells() {
        let mut facts = Facts::default();
        let sha256 = "ab".repeat(32);
        facts.take(&headers(&[
            ("x-linked-etag", &format!("\"{sha256}\"")),
            ("x-linked-size", "12"),
            ("x-repo-commit", "c0ffee"),
        ]));
        facts.take(&headers(&[("etag", "\"storage\"")]));
        assert_eq!(facts.sha256.as_deref(), Some(sha256.as_str()));
        assert_eq!(facts.identity, facts.sha256);
        assert_eq!((facts.size, facts.commit.as_deref()), (Some(12), Some("c0ffee")));
        let mut plain = Facts::default();
        plain.take(&headers(&[("etag", "W/\"x\"")]));
        assert_eq!((plain.identity.as_deref(), plain.sha256), (Some("x"), None));
        assert_eq!(
            content_range(&headers(&[("content-range", "bytes 5-9/10")])),
            Some((5, Some(10)))
        );
    }

    #[test]
    fn paths_are_encoded_part_by_part() {
        let network = Network {
            endpoint: "https://hub".into(),
            ..Network::from_environment()
        };
        let file = HubFile::parse("a/b@v1/c d/é.onnx").unwrap();
        assert_eq!(network.hub_url(&file), "https://hub/a/b/resolve/v1/c%20d/%C3%A9.onnx");
        assert!(network.is_hub("https://hub/x") && !network.is_hub("https://hub.evil.org/x"));
    }
}
