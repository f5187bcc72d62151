//! `gridstone serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::VerbOutcome;
use super::terminal::Terminal;

/// Serve a store over HTTP: a map page, tiles, queries, statistics, changes as they come
///
/// It only reads. SIGTERM and Ctrl-C end it once the answers that are under way are given.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone serve store\n  gridstone serve store --listen 0.0.0.0:8080

  http://127.0.0.1:8080/                              a map page
  http://127.0.0.1:8080/tiles/GRID/{z}/{x}/{y}.png    tiles, for QGIS (XYZ layer), MapLibre, Leaflet, OpenLayers
  http://127.0.0.1:8080/edr/collections               OGC EDR: position, area, cube
  http://127.0.0.1:8080/metrics                       figures for Prometheus

A store that another process has open for writing is opened anew every --refresh seconds. Where nobody has, nobody can write to it while
it is served. A service that is to show what it puts mounts `gridstone::server::router` over its own store."
)]
pub(super) struct Serve {
    /// The directory of the store
    store: PathBuf,
    /// Where to listen; other hosts reach it only where it is not a loopback address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many engine calls run at once [default: two a core]
    #[arg(long, value_name = "N")]
    calls: Option<std::num::NonZeroUsize>,
    /// How many seconds an answer may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// After how many seconds what another process has written meanwhile is shown
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    refresh: u32,
}

#[cfg(not(feature = "server"))]
impl Serve {
    pub(super) fn run(self, _terminal: &Terminal) -> VerbOutcome {
        let Self {
            store,
            listen,
            calls,
            timeout,
            refresh,
        } = self;
        let _ = (store, listen, calls, timeout, refresh);
        anyhow::bail!(
            "this build of gridstone has no server; `cargo install gridstone --features cli,server` makes one that has"
        )
    }
}

#[cfg(feature = "server")]
impl Serve {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        use std::process::ExitCode;
        use std::time::Duration;

        use anyhow::Context;
        use gridstone::server;

        let store = super::open_quietly(&self.store)?;
        let path = self.store.clone();
        let mut options = server::Options::default()
            .timeout(Duration::from_secs(self.timeout.into()))
            .refresh(Duration::from_secs(self.refresh.into()), move || {
                super::open_quietly(&path)
            });
        if let Some(calls) = self.calls {
            options = options.calls(calls.get());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the threads of the server cannot be started")?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(self.listen).await;
            let listener = listener.with_context(|| {
                format!("cannot listen at {}; is another server there?", self.listen)
            })?;
            let address = listener.local_addr()?;
            terminal.print(format!(
                "serving {} at http://{address}/",
                self.store.display()
            ))?;
            if !address.ip().is_loopback() {
                terminal.note("every host that reaches this address can read the store");
            }
            server::serve(store, listener, options, ended()?).await?;
            anyhow::Ok(())
        })?;
        // What a call still does is of no use to anybody.
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(ExitCode::SUCCESS)
    }
}

/// Done when the process is asked to end.
#[cfg(feature = "server")]
fn ended() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
