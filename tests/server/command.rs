//! `gridstone serve`, as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gridstone::{Store, Window};
use ndarray::Array2;

use crate::fixture::degrees;

/// The command, where it is built too.
const COMMAND: Option<&str> = option_env!("CARGO_BIN_EXE_gridstone");

struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(command: &str, store: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(command)
            .arg("serve")
            .arg(store)
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit_once("http://").unwrap().1;
        Self {
            address: address.trim_end_matches('/').to_owned(),
            child,
        }
    }

    fn get(&self, address: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {address} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks it to end, and gives its exit code.
    fn end(mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_store_is_served_until_the_process_is_asked_to_end() {
    let Some(command) = COMMAND else {
        return println!("skipped: the command is not built, for want of the feature cli");
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    degrees(&store, "plain", 32, [20, 20]);
    drop(store);
    for signal in ["-TERM", "-INT"] {
        let serving = Serving::start(command, folder.path(), &[]);
        assert!(serving.address.starts_with("127.0.0.1:"));
        assert!(
            serving
                .get("/edr/collections/plain/position?coords=POINT(8.015%2047.985)")
                .contains("\"values\":[254.0]")
        );
        assert_eq!(serving.end(signal), Some(0), "{signal}");
    }
}

#[test]
fn what_another_process_writes_is_shown_after_a_while() {
    let Some(command) = COMMAND else {
        return println!("skipped: the command is not built, for want of the feature cli");
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let grid = degrees(&store, "plain", 32, [20, 20]);
    let serving = Serving::start(command, folder.path(), &["--refresh", "1"]);
    let position = "/edr/collections/plain/position?coords=POINT(8.005%2047.995)";
    assert!(serving.get(position).contains("\"values\":[0.0]"));
    let mut events = TcpStream::connect(&serving.address).unwrap();
    events
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    events
        .write_all(b"GET /changes/plain HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(events).lines();
    assert!(lines.any(|line| line.unwrap() == "event: ready"));
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 77.0_f32),
    )
    .unwrap();
    assert!(lines.any(|line| line.unwrap() == "event: change"));
    let began = Instant::now();
    while !serving.get(position).contains("\"values\":[77.0]") {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(serving.end("-TERM"), Some(0));
}
