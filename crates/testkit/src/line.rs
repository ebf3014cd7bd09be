//! One device's line to its server, which can be cut or go silent while the lines of others hold.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::clinic::Clinic;

/// Passes bytes to a clinic's server and back, unless it is cut. It ends with its owner.
#[derive(Debug)]
pub struct Line {
    url: String,
    cut: watch::Sender<bool>,
    silent: watch::Sender<bool>,
    passing: JoinHandle<()>,
}

impl Line {
    /// A line to a clinic's server, also to the one that stands there after a restart.
    ///
    /// # Panics
    /// When there is no port on loopback.
    pub async fn to(clinic: &Clinic) -> Self {
        let server = clinic.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (cut, is_cut) = watch::channel(false);
        let (silent, is_silent) = watch::channel(false);
        let passing = tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                tokio::spawn(pass(device, server.clone(), is_cut.clone(), is_silent.clone()));
            }
        });
        Self { url, cut, silent, passing }
    }

    /// Where the device's app signs in.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends what passes, and lets nothing pass until [`Line::mend`].
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Keeps back what the server says until [`Line::mend`]; what the device says still arrives there.
    pub fn silence(&self) {
        self.silent.send_replace(true);
    }

    /// Lets everything pass again, also what was kept back.
    pub fn mend(&self) {
        self.cut.send_replace(false);
        self.silent.send_replace(false);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// One connection, for as long as both ends and the line hold.
async fn pass(
    device: TcpStream,
    server: String,
    mut cut: watch::Receiver<bool>,
    silent: watch::Receiver<bool>,
) {
    let through = async {
        if let Ok(server) = TcpStream::connect(server).await {
            let (mut from_device, to_device) = device.into_split();
            let (from_server, mut to_server) = server.into_split();
            // Either end may break off at any time.
            tokio::select! {
                _ = copy(&mut from_device, &mut to_server) => {}
                _ = copy_unless(silent, from_server, to_device) => {}
            }
        }
    };
    tokio::select! {
        () = through => {}
        // With its sender gone there is nobody left to cut it, and nothing to pass.
        _ = cut.wait_for(|cut| *cut) => {}
    }
}

/// Copies to the end, and waits whenever it is silent.
async fn copy_unless(
    mut silent: watch::Receiver<bool>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 || silent.wait_for(|silent| !silent).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}
