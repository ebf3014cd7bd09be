//! One device's line to its server, which can be cut while the lines of others hold.

use tokio::{
    io::copy_bidirectional,
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
        let passing = tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                tokio::spawn(pass(device, server.clone(), is_cut.clone()));
            }
        });
        Self { url, cut, passing }
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

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// One connection, for as long as both ends and the line hold.
async fn pass(mut device: TcpStream, server: String, mut cut: watch::Receiver<bool>) {
    let through = async {
        if let Ok(mut server) = TcpStream::connect(server).await {
            // Either end may break off at any time.
            let _ = copy_bidirectional(&mut device, &mut server).await;
        }
    };
    tokio::select! {
        () = through => {}
        // With its sender gone there is nobody left to cut it, and nothing to pass.
        _ = cut.wait_for(|cut| *cut) => {}
    }
}
