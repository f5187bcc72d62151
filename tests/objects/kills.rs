//! A process that writes and is killed, or whose object storage goes away: what it had acknowledged
//! is there, and the store is sound.
//!
//! The store is in a directory, or where `GRIDSTONE_OBJECTS_URL` says: a prefix on an S3 server of
//! the environment (`AWS_*`), which `.ci/objects` starts.

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gridstone::{Policy, Store};

use crate::conformance::{fresh_name, process};
use crate::dice::Dice;
use crate::grids;

/// Where the store is, and the word that a number was put.
const URL: &str = "GRIDSTONE_TEST_WRITER";
const FROM: &str = "GRIDSTONE_TEST_FROM";
const PUT: &str = "put ";
const TIMEOUT: Duration = Duration::from_secs(6);

/// Does nothing unless it is started by the tests below: puts higher and higher numbers into all
/// cells, and says so of each once it is acknowledged.
#[test]
fn puts_until_it_ends() {
    let Ok(url) = std::env::var(URL) else { return };
    let from: i32 = std::env::var(FROM).unwrap().parse().unwrap();
    let outcome = (|| -> gridstone::Result<()> {
        let store = Store::options().storage_timeout(TIMEOUT).open(&url)?;
        let grid = grids::grid(&store)?;
        for value in from.. {
            grids::fill(&grid, &grids::all(), value)?;
            println!("\n{PUT}{value}");
        }
        Ok(())
    })();
    let error = outcome.unwrap_err();
    println!("\nended {:?}", error.kind());
}

/// A process that writes.
struct Writer {
    child: Child,
    says: BufReader<ChildStdout>,
    acknowledged: Option<i32>,
    ended: Option<String>,
}

impl Writer {
    fn start(url: &str, from: i32, environment: &[(&str, String)]) -> Self {
        let mut child = process("kills::puts_until_it_ends")
            .env(URL, url)
            .env(FROM, from.to_string())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            says,
            acknowledged: None,
            ended: None,
        }
    }

    /// Listens until it has acknowledged so many more, or has ended.
    fn listen(&mut self, puts: usize) -> usize {
        let mut heard = 0;
        let mut line = String::new();
        while heard < puts {
            line.clear();
            if self.says.read_line(&mut line).unwrap() == 0 {
                break;
            }
            if let Some(value) = line.trim().strip_prefix(PUT) {
                self.acknowledged = Some(value.parse().unwrap());
                heard += 1;
            }
            if let Some(kind) = line.trim().strip_prefix("ended ") {
                self.ended = Some(kind.to_owned());
            }
        }
        heard
    }

    /// Kills it, and gives the last number that it had acknowledged.
    fn kill(mut self) -> Option<i32> {
        self.child.kill().unwrap();
        self.listen(usize::MAX);
        self.child.wait().unwrap();
        self.acknowledged
    }
}

/// The number in all cells, in a store without findings; zero if nothing was put.
fn found(url: &str) -> i32 {
    let store = Store::options().policy(Policy::Manual).open(url).unwrap();
    grids::found(&store).unwrap_or(0)
}

/// Where the store is, and what has to live as long.
fn place() -> (String, Option<tempfile::TempDir>) {
    if let Ok(url) = std::env::var("GRIDSTONE_OBJECTS_URL") {
        let run = std::process::id();
        return (format!("{url}/{run}/{}", fresh_name()), None);
    }
    let place = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", place.path().display());
    (url, Some(place))
}

#[test]
fn what_a_killed_writer_had_acknowledged_is_there() {
    let (url, _place) = place();
    let mut dice = Dice(11);
    let mut last = 0;
    for _ in 0..6 {
        let mut writer = Writer::start(&url, last + 1, &[]);
        let puts = 1 + dice.below(12);
        assert_eq!(writer.listen(puts), puts, "{:?}", writer.ended);
        thread::sleep(Duration::from_micros(dice.next() % 30_000));
        last = killed(writer, &url, last);
    }
}

/// Kills a writer behind some value: what it has acknowledged is found, or one more.
fn killed(writer: Writer, url: &str, last: i32) -> i32 {
    let acknowledged = writer.kill().unwrap_or(last);
    let found = found(url);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found),
        "{found} after {acknowledged} was acknowledged"
    );
    found
}

/// What stands between a client and a server, and can be cut.
struct Line {
    port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            cut: Arc::default(),
            open: Arc::default(),
        };
        let (cut, open) = (Arc::clone(&line.cut), Arc::clone(&line.open));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                // Held until both are noted, so that a cut misses none.
                let mut open = open.lock().unwrap();
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                let both = [client, server];
                for (from, to) in [(0, 1), (1, 0)] {
                    let (from, to) = (both[from].try_clone(), both[to].try_clone());
                    let (mut from, mut to) = (from.unwrap(), to.unwrap());
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.extend(both);
            }
        });
        line
    }

    /// Breaks off what is under way, whose answers are lost, and takes nothing for a while.
    fn cut_while<T>(&self, run: impl FnOnce() -> T) -> T {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let gave = run();
        self.cut.store(false, Ordering::SeqCst);
        gave
    }
}

/// Needs a server, so that it does nothing without one.
#[test]
fn a_server_that_goes_away_costs_no_acknowledged_put() {
    let (Ok(endpoint), true) = (
        std::env::var("AWS_ENDPOINT_URL"),
        std::env::var_os("GRIDSTONE_OBJECTS_URL").is_some(),
    ) else {
        return;
    };
    let (url, _place) = place();
    let server = endpoint.trim_start_matches("http://").trim_matches('/');
    let line = Line::to(server.to_owned());
    let through = [(
        "AWS_ENDPOINT_URL",
        format!("http://127.0.0.1:{}", line.port),
    )];
    let mut dice = Dice(12);
    let mut last = 0;
    for round in 0..3 {
        let mut writer = Writer::start(&url, last + 1, &through);
        assert_eq!(writer.listen(3), 3, "it does not begin");
        // Back soon, it is as if nothing was.
        thread::sleep(Duration::from_micros(dice.next() % 50_000));
        line.cut_while(|| thread::sleep(Duration::from_millis(500)));
        assert_eq!(writer.listen(3), 3, "round {round}: {:?}", writer.ended);
        // Gone for long, the writer says so and ends.
        thread::sleep(Duration::from_micros(dice.next() % 50_000));
        line.cut_while(|| writer.listen(usize::MAX));
        let kind = writer.ended.as_deref();
        assert_eq!(kind, Some("Unavailable"), "round {round}");
        last = killed(writer, &url, last);
    }
}
