//! A way to a broker that breaks as often as a test likes, while the broker itself runs on.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Passes connections on to a port of this host.
pub(crate) struct Way {
    port: u16,
    cut: broadcast::Sender<()>,
    task: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(port: u16) -> Way {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (cut, _) = broadcast::channel(1);
        let cuts = cut.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Way { port: own, cut, task }
    }

    /// The same address by this way.
    pub(crate) fn url(&self, url: &str) -> String {
        let (before, _) = url.rsplit_once(':').unwrap();
        format!("{before}:{}", self.port)
    }

    /// Breaks every connection there is.
    pub(crate) fn cut(&self) {
        // Nobody listens when there is none.
        let _ = self.cut.send(());
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}
