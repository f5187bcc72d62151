//! A server of its own: connections, and its end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use super::app::App;
use super::limits::{Options, Refresh};
use crate::Store;

/// How long a client may take to send the head of a request, and to take up some of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves a store to those who connect, until `stop` is done; then takes up no one more, ends the
/// streams of changes, and waits for the answers that are under way as long as
/// [`Options::drain`] says.
///
/// # Errors
///
/// Those of the listener that no later connection can mend.
pub async fn serve(
    store: Store,
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let app = App::new(store, options);
    let routes = super::routes(Arc::clone(&app));
    let connections = Arc::new(Semaphore::new(app.options.connections));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let refresh = app.options.refresh.clone();
    let refresh = refresh.map(|refresh| tokio::spawn(renew(Arc::clone(&app), refresh)));
    let mut stop = pin!(stop);
    let outcome = loop {
        let taken = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            taken = taken => taken,
            () = &mut stop => break Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "a connection was not taken up");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(error) => break Err(error),
        };
        // Small answers go at once.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(PATIENCE));
        let service = TowerToHyperService::new(routes.clone());
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    };
    drop(listener);
    refresh.iter().for_each(tokio::task::JoinHandle::abort);
    app.ending.send_replace(true);
    if tokio::time::timeout(app.options.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("answers were under way still when the server ended");
    }
    outcome
}

/// Opens the store anew again and again while another process writes to it.
async fn renew(app: Arc<App>, refresh: Refresh) {
    loop {
        tokio::time::sleep(refresh.every).await;
        if app.store().age().is_none() {
            continue;
        }
        let open = Arc::clone(&refresh.open);
        match tokio::task::spawn_blocking(move || open()).await {
            Ok(Ok(store)) => app.show(store),
            Ok(Err(error)) => {
                tracing::warn!(error = error.sentence(), "the store is shown as it was");
            }
            Err(error) => tracing::error!(%error, "the store could not be opened anew"),
        }
    }
}

/// Whether the next connection may be taken up all the same.
fn is_passing(error: &io::Error) -> bool {
    // Beside what is the client's doing, the process may have as many files open as it may.
    !matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}
