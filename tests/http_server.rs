//! A web server for tests: one thread a connection, one answer a connection, and whatever a test
//! wants it to do wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// The first byte that it wants.
    pub fn range_start(&self) -> usize {
        let range = self.headers.get("range").map_or("", String::as_str);
        let start = range.trim_start_matches("bytes=").trim_end_matches('-');
        start.parse().unwrap_or(0)
    }

    pub fn has_token(&self, token: &str) -> bool {
        self.headers.get("authorization") == Some(&format!("Bearer {token}"))
    }
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes after which the connection breaks.
    breaks_after: Option<usize>,
    /// Bytes that it says it has, in place of the truth.
    claims: Option<u64>,
}

impl Reply {
    /// An empty answer of this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            breaks_after: None,
            claims: None,
        }
    }

    /// The whole of `body`, whatever the request wants.
    pub fn whole(body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..Self::status(200)
        }
    }

    /// What the request wants of `body`.
    pub fn range(body: &[u8], request: &Request) -> Self {
        match request.range_start() {
            0 => Self::whole(body),
            start if start >= body.len() => Self::status(416),
            start => Self {
                body: body[start..].to_vec(),
                ..Self::status(206)
            }
            .with(
                "Content-Range",
                &format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
            ),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn breaking_after(mut self, bytes: usize) -> Self {
        self.breaks_after = Some(bytes);
        self
    }

    pub fn claiming(mut self, bytes: u64) -> Self {
        self.claims = Some(bytes);
        self
    }
}

/// A server that answers until the test ends.
pub struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts one on a free port.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (noted, answer) = (noted.clone(), answer.clone());
                std::thread::spawn(move || {
                    // A client that goes away early is no failure of the server's.
                    let _ = serve(stream, &noted, answer.as_ref());
                });
            }
        });
        Self { address, seen }
    }

    /// `http://127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen
            .lock()
            .expect("no test thread panics while it holds it")
            .clone()
    }

    /// How often a path that ends so was asked for.
    pub fn count(&self, end: &str) -> usize {
        self.seen().iter().filter(|request| request.path.ends_with(end)).count()
    }
}

fn serve(
    stream: TcpStream,
    noted: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let request = Request { path, headers };
    noted
        .lock()
        .expect("no thread panics while it holds it")
        .push(request.clone());
    let reply = answer(&request);
    let length = reply.claims.unwrap_or(reply.body.len() as u64);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status)?;
    write!(stream, "Content-Length: {length}\r\n")?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let sent = reply.breaks_after.unwrap_or(reply.body.len()).min(reply.body.len());
    stream.write_all(&reply.body[..sent])?;
    stream.flush()?;
    stream.shutdown(Shutdown::Both)
}
