//! A process works on a store and is killed: at some moment, or in the midst of some write.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use gridstone::{Policy, Store};

use crate::check::{self, Loss};
use crate::dice::Dice;
use crate::image::directory;
use crate::seeds;
use crate::shim::{Call, Fault, How, Taken};
use crate::workload::{self, Note};

/// What a child is to do: `DIRECTORY|SEED|ROUND|CALL|AT`. It is killed at so many calls of the kind
/// of this number; never if `AT` is zero.
const CHILD: &str = "GRIDSTONE_TORTURE_CHILD";

/// Not a test: what the processes do that are killed.
#[test]
#[ignore = "is run by others"]
fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = task.split('|');
    let place = Path::new(parts.next().unwrap());
    let mut numbers = parts.map(|number| number.parse::<u64>().unwrap());
    let (seed, round, call, at) = (
        numbers.next().unwrap(),
        numbers.next().unwrap(),
        numbers.next().unwrap(),
        numbers.next().unwrap(),
    );
    let diary = Mutex::new(
        File::options()
            .append(true)
            .create(true)
            .open(place.join("diary"))
            .unwrap(),
    );
    let directory = place.join("store");
    fs::create_dir_all(&directory).unwrap();
    let taken = Taken::new(&directory, None);
    if at > 0 {
        let call = Call::ALL[usize::try_from(call).unwrap()];
        taken.arm(Fault {
            call,
            at: usize::try_from(at).unwrap(),
            how: How::Killed,
            sticky: false,
        });
    }
    let options = Store::options()
        .policy(workload::policy(seed.wrapping_add(round)))
        .marks_max(64);
    let store = options.log_bytes(1 << 20).open(&directory).unwrap();
    let note = |note: Note| diary.lock().unwrap().write_all(&note.encode()).unwrap();
    loop {
        workload::run(&store, seed, 50, &note).unwrap();
    }
}

/// A process that works on the store in a directory, until it is killed, which it is when this is
/// dropped.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub fn kill(&mut self) -> ExitStatus {
        self.0.kill().unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a process work on the store in a directory; it dies in the midst of the n-th call of a
/// kind.
pub fn spawn(place: &Path, seed: u64, round: u64, fault: Option<(Call, usize)>) -> Worker {
    let (call, at) = fault.map_or((0, 0), |(call, at)| (call as usize, at));
    let task = format!("{}|{seed}|{round}|{call}|{at}", place.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "kills::child", "--ignored", "--quiet"])
        .env(CHILD, task)
        .env_remove("GRIDSTONE_SECONDS");
    Worker(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap(),
    )
}

pub fn diary(place: &Path) -> Vec<Note> {
    let bytes = fs::read(place.join("diary")).unwrap_or_default();
    bytes.chunks_exact(Note::BYTES).map(Note::decode).collect()
}

/// One store lives through several processes.
#[test]
fn i10_what_was_acknowledged_survives_kills() {
    seeds::each("kills", |seed| {
        let (mut dice, place) = (Dice::of(seed, 2), directory());
        let rounds = 4;
        for round in 0..rounds {
            let calls = [
                Call::Write,
                Call::Write,
                Call::Write,
                Call::Sync,
                Call::Open,
                Call::Rename,
                Call::Remove,
            ];
            let fault = dice
                .chance(50)
                .then(|| (dice.pick(&calls), 1 + dice.below(400)));
            let mut child = spawn(place.path(), seed, round, fault);
            let mut left = 30 + dice.below(250);
            // A fault may kill it earlier.
            while left > 0 && !child.has_ended() {
                std::thread::sleep(Duration::from_millis(10));
                left = left.saturating_sub(10);
            }
            let status = child.kill();
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(libc::SIGKILL),
                "round {round}: {status}"
            );
            let diary = diary(place.path());
            let store = match Store::options()
                .policy(Policy::Manual)
                .open(place.path().join("store"))
            {
                Ok(store) => store,
                Err(error) => panic!(
                    "round {round}, {fault:?}: {error}: {:?}",
                    std::error::Error::source(&error)
                ),
            };
            if let Err(wrong) = check::whole(&store, seed, &diary, Loss::Process) {
                panic!("round {round}, {fault:?}: {wrong}");
            }
        }
        rounds
    });
}
