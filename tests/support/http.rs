//! A web server for one test: it says what the test wants, byte for byte, and remembers what was asked.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

/// What all files of the vectors have.
pub const MODIFIED: &str = "Mon, 06 May 2024 07:08:09 GMT";

/// A request: its first line, and headers by their names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`
    pub method: String,
    /// `/passwd`
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// As long as its head says.
    pub body: Vec<u8>,
}

/// What answers: it may write anything, and the connection is closed behind it.
type Answer = dyn Fn(&Request, &mut TcpStream) + Send + Sync;

/// A server that listens as long as the test runs.
pub struct Http {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

impl Http {
    /// One that answers so.
    #[track_caller]
    pub fn new(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Arc<Answer>>> = Arc::new(Mutex::new(Arc::new(answer)));
        let (seen, say) = (Arc::clone(&requests), Arc::clone(&answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, say) = (Arc::clone(&seen), Arc::clone(&say));
                thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(request) = read(&mut stream) {
                        seen.lock().unwrap().push(request.clone());
                        let say = Arc::clone(&say.lock().unwrap());
                        say(&request, &mut stream);
                    }
                });
            }
        });
        Http { address, requests, answer }
    }

    /// One that hands out the files of a folder, with the time of the vectors, and 304 for it.
    #[track_caller]
    pub fn files(dir: PathBuf) -> Http {
        Http::new(move |request, stream| {
            let path = dir.join(request.path.trim_start_matches('/'));
            match fs::read(path) {
                Ok(_)
                    if request.headers.get("if-modified-since").is_some_and(|s| s == MODIFIED) =>
                {
                    let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n");
                }
                Ok(body) => send(stream, "200 OK", &[("Last-Modified", MODIFIED)], &body),
                Err(_) => send(stream, "404 Not Found", &[], b"none\n"),
            }
        })
    }

    /// One that answers each request with this body.
    #[track_caller]
    pub fn body(body: impl Into<Vec<u8>>) -> Http {
        let body = body.into();
        Http::new(move |_, stream| send(stream, "200 OK", &[], &body))
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    /// From now on it answers with this body.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.answer(move |_, stream| send(stream, "200 OK", &[], &body));
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole answer.
pub fn send(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "Connection: close\r\n\r\n";
    // The client may have seen enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 || head.len() > 65_536 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: HashMap<String, String> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
