//! The server's delivery service: conversations, their logs, key packages, welcomes, one's own devices.

use bedside_protocol::{
    Conversation, ConversationId, DeviceId, EntryId, Pii, UserId,
    conversation::{
        AppendCommit, Appended, ClaimedKeyPackage, CreateConversation, FoundGroup, Founded, GroupInfo,
        KeyPackagesLeft, LogEntry, OwnDevice, PublishKeyPackages, RenameDevice, WaitingWelcome,
    },
    rest::Page,
};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use super::{Api, ApiError, answer::LONGEST_SEALED_BYTES};

/// Entries fetched at once.
const ENTRIES_AT_ONCE: u32 = 100;
/// Items of a list fetched at once.
pub(super) const AT_ONCE: u64 = 100;
/// Welcomes fetched at once: each may have a megabyte.
const WELCOMES_AT_ONCE: u64 = 10;
/// Pages of a list: a server that always has one more is not listened to for ever.
const MOST_PAGES: u64 = 200;

impl Api {
    /// Every conversation this person takes part in.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn conversations(&self) -> Result<Vec<Conversation>, ApiError> {
        self.all("api/conversations", AT_ONCE).await
    }

    /// One of them.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn conversation(&self, id: ConversationId) -> Result<Conversation, ApiError> {
        self.get(&format!("api/conversations/{id}")).await
    }

    /// Makes a conversation; a direct one that exists is the answer too.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create_conversation(&self, body: &CreateConversation) -> Result<Conversation, ApiError> {
        self.post("api/conversations", body).await
    }

    /// Founds a conversation's group, or founds it anew.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn found_group(&self, id: ConversationId, body: &FoundGroup) -> Result<Founded, ApiError> {
        self.post(&format!("api/conversations/{id}/found"), body).await
    }

    /// Offers a change of a group to its log.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn append_commit(&self, id: ConversationId, body: &AppendCommit) -> Result<Appended, ApiError> {
        self.post(&format!("api/conversations/{id}/commits"), body).await
    }

    /// What it takes to join a group from outside.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn group_info(&self, id: ConversationId) -> Result<GroupInfo, ApiError> {
        let request = self.authorised(Method::GET, &format!("api/conversations/{id}/group-info")).await?;
        Ok(self.send_up_to(request, LONGEST_SEALED_BYTES).await?.0)
    }

    /// Entries of a log from a position on; not all at once.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn entries(&self, id: ConversationId, from: u64) -> Result<Vec<LogEntry>, ApiError> {
        let path = format!("api/conversations/{id}/messages");
        let request = self.authorised(Method::GET, &path).await?;
        let request = request.query(&[("from", from), ("page", 1), ("per_page", ENTRIES_AT_ONCE.into())]);
        Ok(self.send_up_to::<Page<LogEntry>>(request, LONGEST_SEALED_BYTES).await?.0.items)
    }

    /// Welcomes that wait for this device.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn welcomes(&self) -> Result<Vec<WaitingWelcome>, ApiError> {
        self.all("api/welcomes", WELCOMES_AT_ONCE).await
    }

    /// A welcome was used, or is of no use.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete_welcome(&self, id: EntryId) -> Result<(), ApiError> {
        self.done(self.authorised(Method::DELETE, &format!("api/welcomes/{id}")).await?).await
    }

    /// How many key packages of this device the server has.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn key_packages_left(&self) -> Result<KeyPackagesLeft, ApiError> {
        self.get("api/key-packages").await
    }

    /// Hands in key packages.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn publish_key_packages(&self, body: &PublishKeyPackages) -> Result<KeyPackagesLeft, ApiError> {
        self.send(self.authorised(Method::PUT, "api/key-packages").await?.json(body)).await
    }

    /// A key package for each device of somebody.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn claim_key_packages(&self, user: UserId) -> Result<Vec<ClaimedKeyPackage>, ApiError> {
        let request = self.authorised(Method::POST, &format!("api/users/{user}/key-packages/claim")).await?;
        Ok(self.send_up_to(request, LONGEST_SEALED_BYTES).await?.0)
    }

    /// One's own devices.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, ApiError> {
        self.all("api/devices", AT_ONCE).await
    }

    /// Names a device.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn rename_device(&self, id: DeviceId, name: String) -> Result<(), ApiError> {
        let body = RenameDevice { name: Pii::new(name) };
        self.done(self.authorised(Method::PATCH, &format!("api/devices/{id}")).await?.json(&body)).await
    }

    /// Takes a device from the account, for good.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn revoke_device(&self, id: DeviceId) -> Result<(), ApiError> {
        self.done(self.authorised(Method::DELETE, &format!("api/devices/{id}")).await?).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(self.authorised(Method::GET, path).await?).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        self.send(self.authorised(Method::POST, path).await?.json(body)).await
    }

    /// Every page of a list, up to [`LONGEST_SEALED_BYTES`] of it and one page more.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        at_once: u64,
    ) -> Result<Vec<T>, ApiError> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        let mut page = 1u64;
        loop {
            let request = self.authorised(Method::GET, path).await?;
            let request = request.query(&[("page", page), ("per_page", at_once)]);
            let (answer, more): (Page<T>, usize) = self.send_up_to(request, LONGEST_SEALED_BYTES).await?;
            let empty = answer.items.is_empty();
            all.extend(answer.items);
            bytes += more;
            if page >= answer.pages.min(MOST_PAGES) || empty || bytes > LONGEST_SEALED_BYTES {
                return Ok(all);
            }
            page += 1;
        }
    }
}
