//! Where clients come in: the port, TLS, and how long a request may take to arrive.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use axum_server::{
    Handle,
    accept::DefaultAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, timeout_at};

mod connections;

use self::connections::Connections;
use crate::{app::App, config::TlsFiles, routes, server::StartError};

/// Takes the port.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    Ok(listener)
}

/// Reads certificate and key.
pub(crate) async fn load_tls(files: &TlsFiles) -> Result<RustlsConfig, StartError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = RustlsConfig::from_pem_file(&files.certificate, &files.key).await;
    let mut tls = (*read.map_err(|source| tls_error(files, source))?.get_inner()).clone();
    // The socket needs HTTP/1.1, and nothing here gains by HTTP/2.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(tls)))
}

/// Reads certificate and key anew, for connections from now on.
pub(crate) async fn reload_tls(served: &RustlsConfig, files: &TlsFiles) -> Result<(), StartError> {
    // Not `reload_from_pem_file`: that would forget which protocols are spoken.
    served.reload_from_config(load_tls(files).await?.get_inner());
    Ok(())
}

fn tls_error(files: &TlsFiles, source: io::Error) -> StartError {
    let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
    StartError::Tls { certificate, key, source }
}

/// Serves whoever connects, until `handle` says otherwise.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
    app: App,
) -> io::Result<()> {
    let connections = Connections::new(&app.config);
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    // Not `http1_only`: that would serve connections without upgrades, and so without sockets.
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(app.config.socket.head_within);
    let service = routes::router(app).into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        Some(tls) => server.acceptor(connections.over(RustlsAcceptor::new(tls))).serve(service).await,
        None => server.acceptor(connections.over(DefaultAcceptor::new())).serve(service).await,
    }
}

/// Bodies break off when they have not arrived in time. Parts of attachments may take as long as they come: their route
/// looks after them.
pub(crate) async fn limit_bodies(State(within): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.uri().path() == "/api/attachments/upload" {
        return next.run(request).await;
    }
    let deadline = Instant::now() + within;
    let in_time = |body: Body| {
        Body::from_stream(stream::try_unfold(body.into_data_stream(), move |mut chunks| async move {
            match timeout_at(deadline, chunks.next()).await {
                Ok(chunk) => Ok(chunk.transpose()?.map(|chunk| (chunk, chunks))),
                Err(late) => Err(axum::Error::new(late)),
            }
        }))
    };
    next.run(request.map(in_time)).await
}

#[cfg(test)]
mod tests;
