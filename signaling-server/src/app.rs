//! Everything a request handler works with.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attachments::Attachments, auth::AuthService, calls::CallService, config::Config,
    conversations::ConversationService, db::Database, devices::Devices, directory::Directory, hub::Hub,
    ice::IceServers, key_packages::KeyPackages, limits::Limits, presence::PresenceService,
};

/// The server's services. Cheap to clone; axum's state.
#[derive(Clone)]
pub struct App {
    /// As configured.
    pub config: Arc<Config>,
    /// The database.
    pub db: Database,
    /// Signing in and out.
    pub auth: AuthService,
    /// How much one client may ask.
    pub limits: Limits,
    /// People and who may talk to whom.
    pub directory: Directory,
    /// Sessions and events.
    pub hub: Hub,
    /// Who can be reached.
    pub presence: PresenceService,
    /// STUN and TURN.
    pub ice: IceServers,
    /// Calls.
    pub calls: CallService,
    /// Conversations.
    pub conversations: ConversationService,
    /// Files.
    pub attachments: Attachments,
    /// What devices publish for being added to groups.
    pub key_packages: KeyPackages,
    /// Everybody's own devices.
    pub devices: Devices,
    /// The tasks that own a socket.
    pub sockets: TaskTracker,
    /// Cancelled when the server is told to stop.
    pub stopping: CancellationToken,
    /// Cancelled when sockets have to go without a word.
    pub cut: CancellationToken,
}
