//! Where the bytes of attachments are: a folder, or a bucket of an S3-compatible store. One object per part, named
//! `<attachment>/<number>`; an object is there whole or not at all.

use std::{error::Error, io, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bedside_protocol::{AttachmentId, ErrorCode, attachment::PART_BYTES};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig, aws::AmazonS3Builder, buffered::BufWriter,
    local::LocalFileSystem, path::Path,
};
use tokio::io::AsyncWriteExt;

use crate::{
    config::BlobConfig,
    fault::{Causes, Fault},
};

/// Bytes held in memory while a part is written to a folder.
const FOLDER_CHUNK_BYTES: usize = 256 * 1024;
/// S3 takes a whole part at once: its own parts have at least 5 MiB.
#[expect(clippy::cast_possible_truncation, reason = "8 MiB")]
const BUCKET_CHUNK_BYTES: usize = PART_BYTES as usize + 1;

/// A store that says nothing for as long has gone away. A part may take longer: how fast it is fetched is up to whoever
/// fetches it.
const SILENCE: Duration = Duration::from_secs(60);
/// What the store refuses for the moment is asked again so often, within about a second: devices try again, too, and
/// give up on a server that says nothing.
const RETRIES: usize = 4;

/// Why the store can't be used; check `upload_folder` or the settings that begin with `s3_`.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Check the path and its permissions.
    #[error("the upload folder {path} can't be used")]
    Folder {
        /// The path as configured.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Check the settings.
    #[error("the store can't be used")]
    Store(#[from] object_store::Error),
    /// Check the settings, and whether the bucket exists.
    #[error("the bucket can't be used, check the settings that begin with s3_")]
    Bucket(#[source] object_store::Error),
}

/// A store of parts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    chunk: usize,
    folder: Option<PathBuf>,
}

impl BlobStore {
    /// Opens the store; a folder is made if it does not exist. A bucket is not looked for before it is used.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn open(config: &BlobConfig) -> Result<Self, BlobError> {
        match config {
            BlobConfig::Folder(path) => {
                let fail = |source| BlobError::Folder { path: path.display().to_string(), source };
                std::fs::create_dir_all(path).map_err(fail)?;
                let folder = path.canonicalize().map_err(fail)?;
                let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
                Ok(Self { store: Arc::new(store), chunk: FOLDER_CHUNK_BYTES, folder: Some(folder) })
            }
            BlobConfig::Bucket(bucket) => {
                // Whoever embeds the server may have installed it already: the same one.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let plain = bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
                let client = ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE);
                let mut builder = AmazonS3Builder::new()
                    .with_client_options(client.with_allow_http(plain))
                    .with_retry(RetryConfig { max_retries: RETRIES, ..RetryConfig::default() })
                    .with_bucket_name(&bucket.name)
                    .with_region(&bucket.region)
                    .with_access_key_id(&bucket.key)
                    .with_secret_access_key(bucket.secret.expose());
                if let Some(endpoint) = &bucket.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                Ok(Self::over(Arc::new(builder.build()?)))
            }
        }
    }

    /// A store that takes whole parts.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, chunk: BUCKET_CHUNK_BYTES, folder: None }
    }

    /// Whether the store could be opened and used, without making a folder that is not there yet.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn check(config: &BlobConfig) -> Result<(), BlobError> {
        match config {
            // It would be made in the first folder on the way to it that is there.
            BlobConfig::Folder(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                write_into(path.ancestors().find(|folder| folder.exists()).unwrap_or(&path))
            }
            BlobConfig::Bucket(_) => Self::open(config)?.look().await,
        }
    }

    /// Looks whether a folder can be written to, or whether a bucket is there and the key is right. Whether that may write
    /// is seen when it does.
    ///
    /// # Errors
    /// [`BlobError::Folder`], [`BlobError::Bucket`].
    pub async fn look(&self) -> Result<(), BlobError> {
        match &self.folder {
            Some(folder) => write_into(folder),
            None => self.store.list(None).next().await.transpose().map(drop).map_err(BlobError::Bucket),
        }
    }

    /// Begins to write a part. Nothing is there before [`Writer::finish`].
    #[must_use]
    pub fn write(&self, id: AttachmentId, number: u64) -> Writer {
        let writer = BufWriter::with_capacity(Arc::clone(&self.store), name(id, number), self.chunk);
        Writer(writer.with_max_concurrency(2))
    }

    /// Reads a stretch of a part as it is asked for.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read(
        &self,
        id: AttachmentId,
        number: u64,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, object_store::Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        Ok(self.store.get_opts(&name(id, number), options).await?.into_stream())
    }

    /// Deletes all parts of an attachment, also such as are not in the database.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_all(&self, id: AttachmentId) -> Result<(), Fault> {
        if let Some(folder) = &self.folder {
            // With what a killed process left half-written.
            let folder = folder.join(id.to_string());
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
            return match removed {
                Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(fault(&error)),
                Ok(_) => Ok(()),
                Err(_) => Err(Fault::Internal("deleting an attachment was aborted")),
            };
        }
        let prefix = Path::from(id.to_string());
        let names = self.store.list(Some(&prefix)).map_ok(|object| object.location).boxed();
        let mut deleted = self.store.delete_stream(names);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fault(&error)),
            }
        }
        Ok(())
    }
}

/// Writes one part. Dropped before its end it leaves nothing under the part's name.
pub struct Writer(BufWriter);

impl Writer {
    /// Adds bytes.
    ///
    /// # Errors
    /// `storage_full`, or the store failed.
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), Fault> {
        self.0.put(bytes).await.map_err(|error| fault(&error))
    }

    /// The part is whole: it is there from now on.
    ///
    /// # Errors
    /// `storage_full`, or the store failed.
    pub async fn finish(mut self) -> Result<(), Fault> {
        self.0.shutdown().await.map_err(|error| fault(&error))
    }

    /// The part will not become whole.
    pub async fn abort(mut self) {
        // What can't be tidied up now is deleted with the attachment.
        let _ = self.0.abort().await;
    }
}

/// Writes a file into `folder` and removes it again.
fn write_into(folder: &std::path::Path) -> Result<(), BlobError> {
    let file = folder.join(format!(".{}", AttachmentId::random()));
    let written = std::fs::File::create_new(&file).and_then(|_| std::fs::remove_file(&file));
    written.map_err(|source| BlobError::Folder { path: folder.display().to_string(), source })
}

fn name(id: AttachmentId, number: u64) -> Path {
    Path::from(format!("{id}/{number}"))
}

/// A full disk is told; everything else is a fault of the server's.
pub(super) fn fault(error: &(dyn Error + 'static)) -> Fault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            return ErrorCode::StorageFull.into();
        }
        cause = error.source();
    }
    tracing::error!(error = %Causes(error), "the store of attachments failed");
    Fault::Internal("the store of attachments failed")
}

#[cfg(test)]
mod tests;
