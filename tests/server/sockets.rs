//! Over real sockets: limits, slow clients, the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gridstone::Store;
use gridstone::server::{self, Options};
use tokio::sync::Notify;

use crate::fixture::{FAST, Gate, SLOW, degrees, gated, numbered, space, store};

/// A server that listens.
struct Listening {
    address: SocketAddr,
    stop: Arc<Notify>,
    ended: thread::JoinHandle<std::io::Result<()>>,
}

impl Listening {
    fn start(store: Store, options: Options) -> Self {
        let stop = Arc::new(Notify::new());
        let (send, receive) = std::sync::mpsc::channel();
        let stopped = Arc::clone(&stop);
        let ended = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .worker_threads(2)
                .build()
                .unwrap();
            let outcome = runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                server::serve(
                    store,
                    listener,
                    options,
                    async move { stopped.notified().await },
                )
                .await
            });
            runtime.shutdown_background();
            outcome
        });
        Self {
            address: receive.recv().unwrap(),
            stop,
            ended,
        }
    }

    /// A connection on which a request was sent.
    fn send(&self, address: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(
            stream,
            "GET {address} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream
    }

    fn get(&self, address: &str) -> String {
        read(self.send(address))
    }

    /// Waits until the figures have a line.
    fn until(&self, line: &str) {
        until(line, || self.get("/metrics").lines().any(|of| of == line));
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn beyond_what_may_run_and_wait_an_answer_is_503() {
    let gate = Gate::default();
    let options = Options::default().calls(1).queue(1);
    let server = Listening::start(gated(&gate), options.timeout(Duration::from_secs(120)));
    let running = server.send(SLOW);
    server.until("gridstone_http_calls_free 0");
    let waiting = server.send(FAST);
    server.until("gridstone_http_queued 1");
    let refused = server.get(FAST);
    assert_eq!(status(&refused), 503);
    assert!(
        refused.to_lowercase().contains("retry-after: 1"),
        "{refused}"
    );
    // What tells how it goes is answered all the same.
    for address in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(&server.get(address)), 200, "{address}");
    }
    gate.open();
    assert_eq!((status(&read(running)), status(&read(waiting))), (200, 200));
    assert_eq!(status(&server.get(FAST)), 200);
}

#[test]
fn an_answer_that_takes_too_long_is_503_and_still_counts() {
    let gate = Gate::default();
    let options = Options::default()
        .calls(1)
        .queue(1)
        .timeout(Duration::from_millis(300));
    let server = Listening::start(gated(&gate), options);
    let began = Instant::now();
    let late = server.get(SLOW);
    assert!(
        status(&late) == 503 && late.contains("takes longer than 0.3 s"),
        "{late}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    // The call goes on, so that another waits in vain.
    assert_eq!(status(&server.get(FAST)), 503);
    gate.open();
    until("the call has ended", || status(&server.get(FAST)) == 200);
}

#[test]
fn slow_clients_hold_nobody_up() {
    let store = store();
    numbered(
        &store,
        "large",
        space("EPSG:4326", [0.0, 50.0], 0.01, 256),
        1_000,
        1_000,
    );
    let options = Options::default().timeout(Duration::from_secs(120));
    let server = Listening::start(store, options);
    let large = "/edr/collections/large/cube?bbox=0,40,10,50";
    // Some take up nothing of a large answer, some send half a request, some send nothing.
    let slow: Vec<TcpStream> = (0..4).map(|_| server.send(large)).collect();
    let half: Vec<TcpStream> = (0..40)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /grids HTTP/1.1\r\nHo").unwrap();
            }
            stream
        })
        .collect();
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(
            status(&server.get("/edr/collections/large/position?coords=POINT(5%2045)")),
            200
        );
        assert_eq!(status(&server.get("/tiles/large/6/32/22.png")), 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    // Who was slow has lost nothing.
    let answers: Vec<String> = slow.into_iter().map(read).collect();
    assert!(answers.iter().all(|answer| status(answer) == 200
        && answer.len() > 4_000_000
        && answer.ends_with("]}}}")));
    drop(half);
}

#[test]
fn connections_beyond_the_limit_wait_for_others_to_close() {
    let store = store();
    degrees(&store, "plain", 32, [20, 20]);
    let server = Listening::start(store, Options::default().connections(2));
    let held: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    thread::sleep(Duration::from_millis(100));
    let mut third = server.send("/healthz");
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(third.read(&mut [0; 1]).is_err(), "it waits");
    drop(held);
    third
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(status(&read(third)), 200);
}

#[test]
fn the_end_waits_for_answers_and_ends_streams() {
    let gate = Gate::default();
    let options = Options::default().calls(4).drain(Duration::from_secs(60));
    let server = Listening::start(gated(&gate), options);
    let running = server.send(SLOW);
    let mut events = server.send("/changes/fast");
    let mut first = [0; 15];
    events.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.until("gridstone_http_calls_free 3");
    server.stop.notify_one();
    until("nobody is taken up", || {
        TcpStream::connect(server.address).is_err()
    });
    assert!(!server.ended.is_finished(), "an answer is under way");
    gate.open();
    let answer = read(running);
    assert!(
        status(&answer) == 200 && answer.contains("\"ranges\""),
        "{answer}"
    );
    assert!(
        read(events).contains("event: ready"),
        "the stream has ended"
    );
    server.ended.join().unwrap().unwrap();
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let gate = Gate::default();
    let server = Listening::start(
        gated(&gate),
        Options::default().drain(Duration::from_millis(300)),
    );
    let _running = server.send(SLOW);
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    server.stop.notify_one();
    server.ended.join().unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    gate.open();
}
