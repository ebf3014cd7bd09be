//! Signing in and out, people and their presence, past calls.

use std::time::Duration;

use bedside_protocol::{
    DeviceId, Pii, PresenceStatus, Secret, UserId,
    call::CallRecord,
    rest::{CallHistoryQuery, ClinicInfo, Page, SignedIn},
    user::{Contact, DeviceInfo, DeviceType, Presence, UserProfile},
};
use bedside_ui_contract::{
    Failure, Notice,
    chat::VaultView,
    snapshot::{ConnectionView, HistoryView},
};

use super::{
    actor::{Account, Actor, Person},
    feeds::{Feeds, Outcome, Recalled},
};
use crate::{
    api::{Api, ApiError},
    chat::{Chat, ChatConfig, Input, installed},
    profile::{Installation, Remembered, account_name},
    socket::Socket,
};

/// The server may take as long to say that it knows the sign-in of the last run; then the app opens without.
const RESTORE_PATIENCE: Duration = Duration::from_secs(3);
/// Where nobody knows whose sign-in it is, the server is asked again after this long.
const RESTORE_AGAIN: Duration = Duration::from_secs(5);

/// Past calls on a page.
const HISTORY_PAGE: u32 = 20;

impl Actor {
    /// Takes up the sign-in of the last run.
    ///
    /// The server is asked first. Where it does not answer, or not soon, whoever was signed in finds what is on this
    /// computer; the socket goes on asking, and a sign-in that is over by then ends as any other.
    pub(super) fn restore(&mut self) {
        let address = self.profile.get().server_url.clone();
        if address.is_empty() {
            self.account = Account::SignedOut { failure: None };
            return;
        }
        let Ok(api) = Api::new(&address, self.secrets.clone()) else {
            self.account = Account::SignedOut { failure: Some(Failure::BadServerAddress) };
            return;
        };
        self.account = Account::Restoring;
        self.api = Some(api.clone());
        self.restoring = true;
        self.fetch_clinic();
        let remembered = self.profile.get();
        let whose = remembered.user.as_ref().map(|user| user.id).zip(remembered.device_id);
        // A device that had keys and has none any more is not that device: it would be in its own way everywhere.
        let had = whose.map(|(user, device)| Installation { user, device });
        let had = had.filter(|had| remembered.had_keys(*had));
        let folder = self.profile.folder();
        self.feeds.spawn(async move {
            if !api.recall(whose).await {
                return Outcome::Recalled(Recalled::Nothing);
            }
            let keys = match had {
                Some(Installation { user, device }) => {
                    api.with_secrets(move |secrets| installed(secrets, &folder, user, device)).await
                }
                None => None,
            };
            Outcome::Recalled(if keys == Some(None) { Recalled::WithoutKeys } else { Recalled::There })
        });
    }

    pub(super) fn recalled(&mut self, what: Recalled) {
        if !self.restoring {
            return;
        }
        match what {
            Recalled::There => {}
            Recalled::Nothing => {
                self.account = Account::SignedOut { failure: None };
                self.restoring = false;
                return;
            }
            Recalled::WithoutKeys => {
                self.restoring = false;
                if let Some(api) = self.api.clone() {
                    tokio::spawn(async move { api.sign_out().await });
                }
                return self.forget_account(Some(Failure::KeysGone));
            }
        }
        self.renew_after(Duration::ZERO);
        self.feeds.spawn(async move {
            tokio::time::sleep(RESTORE_PATIENCE).await;
            Outcome::PatienceOver
        });
    }

    fn renew_after(&self, pause: Duration) {
        let Some(api) = self.api.clone() else { return };
        self.feeds.spawn(async move {
            tokio::time::sleep(pause).await;
            Outcome::Restored(api.renew().await)
        });
    }

    pub(super) fn restored(&mut self, answer: Result<SignedIn, ApiError>) {
        // Somebody signs in by hand, or what was remembered had to do and the socket asks from here on.
        if !self.restoring {
            return;
        }
        match (answer, self.api.clone()) {
            (Ok(signed_in), Some(api)) => self.signed_in(api, None, signed_in),
            (Err(error), _) if error.ends_sign_in() => {
                self.restoring = false;
                self.forget_account(Some(error.failure()));
            }
            (Err(error), _) => {
                tracing::info!(%error, "the server can't be asked about the last sign-in");
                if !self.enter_unasked() {
                    self.account = Account::SignedOut { failure: Some(error.failure()) };
                    self.renew_after(RESTORE_AGAIN);
                }
            }
            (Ok(_), None) => {}
        }
    }

    pub(super) fn patience_over(&mut self) {
        if self.restoring && matches!(self.account, Account::Restoring) {
            self.enter_unasked();
        }
    }

    /// Goes on with who was signed in last. False when that is not known: an older version did not remember it.
    fn enter_unasked(&mut self) -> bool {
        let remembered = self.profile.get();
        let (Some(user), Some(device)) = (remembered.user.clone(), remembered.device_id) else {
            return false;
        };
        let Some(api) = self.api.clone() else { return false };
        self.enter(api, user, device);
        true
    }

    /// Asks who the clinic is and who holds its archive key.
    pub(super) fn fetch_clinic(&self) {
        if let Some(api) = self.api.clone() {
            self.feeds.spawn(async move { Outcome::Clinic(api.clinic().await) });
        }
    }

    pub(super) fn clinic_known(&mut self, answer: Result<ClinicInfo, ApiError>) {
        if let Ok(clinic) = answer {
            self.tell_chat(Input::Archive(clinic.archive.as_ref().map(|archive| archive.id)));
            self.remember(|remembered| remember_clinic(remembered, clinic));
        }
    }

    /// The server says who is signed in: the name or the role may be another than last time.
    pub(super) fn is_now(&mut self, now: UserProfile) {
        if let Account::SignedIn { user, .. } = &mut self.account
            && user.id == now.id
            && *user != now
        {
            user.clone_from(&now);
            self.remember(|remembered| remembered.user = Some(now));
        }
    }

    pub(super) fn sign_in(&mut self, server_url: String, login: String, password: String) {
        let password = Secret::new(password);
        if matches!(self.account, Account::SigningIn | Account::SignedIn { .. }) {
            return;
        }
        let api = match Api::new(&server_url, self.secrets.clone()) {
            Ok(api) => api,
            Err(error) => return self.sign_in_failed(&error),
        };
        self.account = Account::SigningIn;
        self.restoring = false;
        self.feeds = Feeds::new();
        self.remember(|remembered| {
            remembered.server_url = api.address();
            remembered.login = Pii::new(login.clone());
        });
        let known = self.profile.get().accounts.get(&account_name(&api.address(), &login)).copied();
        let folder = self.profile.folder();
        self.feeds.spawn(async move {
            let signing_in = async {
                let clinic = api.clinic().await?;
                // Who has no keys here that can be had is a new device: nobody else's place in the groups is taken.
                let installed = match known {
                    Some(Installation { user, device }) => {
                        api.with_secrets(move |secrets| installed(secrets, &folder, user, device)).await
                    }
                    None => None,
                };
                let device = DeviceInfo {
                    id: installed.flatten(),
                    name: Pii::new(sysinfo::System::host_name().unwrap_or_else(|_| "Desktop".to_owned())),
                    device_type: DeviceType::Desktop,
                };
                let signed_in = api.sign_in(Pii::new(login), password, device).await?;
                Ok((clinic, signed_in))
            };
            match signing_in.await {
                Ok((clinic, signed_in)) => Outcome::SignedIn { api, clinic, signed_in },
                Err(error) => Outcome::SignInFailed(error),
            }
        });
    }

    pub(super) fn sign_in_failed(&mut self, error: &ApiError) {
        tracing::info!(%error, "signing in failed");
        self.account = Account::SignedOut { failure: Some(error.failure()) };
    }

    pub(super) fn signed_in(&mut self, api: Api, clinic: Option<ClinicInfo>, signed_in: SignedIn) {
        self.remember(|remembered| {
            // Where this sign-in can't be kept, the one that is still in the keyring is that of the next start.
            if !api.store_failed() {
                remembered.device_id = Some(signed_in.device_id);
                remembered.user = Some(signed_in.user.clone());
            }
            if let Some(clinic) = clinic {
                remember_clinic(remembered, clinic);
            }
        });
        if api.store_failed() {
            self.notify(Notice::NotRemembered);
        }
        self.enter(api, signed_in.user, signed_in.device_id);
    }

    /// Opens what is this person's, on this computer and, as soon as it can be reached, at the server.
    fn enter(&mut self, api: Api, user: UserProfile, device: DeviceId) {
        let socket = Socket::start(api.clone(), self.feeds.of_socket(), self.seed);
        let config = ChatConfig {
            api: api.clone(),
            socket: socket.clone(),
            secrets: self.secrets.clone(),
            folder: self.profile.folder(),
            me: user.clone(),
            device,
            gone: self.profile.get().gone(Installation { user: user.id, device }),
            archive: self.profile.get().archive,
            read_receipts: self.profile.get().settings.read_receipts,
        };
        self.chat = Some(Chat::start(config, self.feeds.of_chat()));
        self.socket = Some(socket);
        self.api = Some(api);
        self.restoring = false;
        let status = self.profile.get().status(user.id);
        self.account = Account::SignedIn { user, status };
        self.studio.refresh();
    }

    /// What this account has keys for on this computer, and whether they outlive this run.
    pub(super) fn has_keys(&mut self, device: DeviceId, lasting: bool) {
        if let Some(user) = self.user_id() {
            self.remember(|remembered| remembered.has_keys(Installation { user, device }, lasting));
        }
    }

    pub(super) fn sign_out(&mut self) {
        if self.user_id().is_none() {
            return;
        }
        self.leave_call_for_good();
        // A device whose keys end with this run does not come back: it leaves the account, and so its conversations.
        let passing = self.chat.as_ref().filter(|chat| chat.view().vault == VaultView::Temporary);
        let leaves = passing.map(Chat::device);
        if let Some(api) = self.api.clone() {
            tokio::spawn(async move {
                if let Some(device) = leaves
                    && let Err(error) = api.revoke_device(device).await
                {
                    tracing::info!(%error, "this device stays on the account's list");
                }
                api.sign_out().await;
            });
        }
        self.forget_account(None);
    }

    pub(super) fn signed_out_elsewhere(&mut self) {
        self.leave_call_for_good();
        self.forget_account(Some(Failure::SignedOutElsewhere));
    }

    fn forget_account(&mut self, failure: Option<Failure>) {
        self.feeds = Feeds::new();
        self.api = None;
        self.socket = None;
        self.chat = None;
        self.connection = ConnectionView::Idle;
        self.told_presence = None;
        self.account = Account::SignedOut { failure };
        self.remember(|remembered| remembered.user = None);
        self.measured.forget();
        self.people.clear();
        self.people_loaded = false;
        self.fetching_people = None;
        self.history = HistoryView::default();
        self.notices.clear();
    }

    /// Asks whom one may call, once at a time.
    pub(super) fn fetch_contacts(&mut self) {
        if let Some(again) = &mut self.fetching_people {
            *again = true;
            return;
        }
        if let Some(api) = self.api.clone() {
            self.fetching_people = Some(false);
            self.feeds.spawn(async move { Outcome::Contacts(api.contacts().await) });
        }
    }

    pub(super) fn contacts_fetched(&mut self, answer: Result<Vec<Contact>, ApiError>) {
        if self.fetching_people.take() == Some(true) {
            self.fetch_contacts();
        }
        match answer {
            Ok(contacts) => {
                self.tell_chat(Input::People(contacts.clone()));
                self.people =
                    contacts.into_iter().map(|c| Person { user: c.user, presence: c.presence }).collect();
                self.people_loaded = true;
            }
            Err(error) => self.notify(Notice::Failed { failure: error.failure_when_signed_in() }),
        }
    }

    /// What was known when the app was open last, until the server says what is so now.
    pub(super) fn known(&mut self, user: UserId, people: Vec<Contact>, calls: &[CallRecord]) {
        if self.user_id() != Some(user) {
            return;
        }
        if !self.people_loaded {
            let away =
                |presence| Presence { status: PresenceStatus::Offline, current_call_id: None, ..presence };
            self.people =
                people.into_iter().map(|c| Person { user: c.user, presence: away(c.presence) }).collect();
        }
        if self.history.page == 0 && !calls.is_empty() {
            self.history.items =
                calls.iter().filter_map(|record| super::view::history_item(record, user)).collect();
            (self.history.page, self.history.pages) = (1, 1);
            self.history.total = u32::try_from(self.history.items.len()).unwrap_or(u32::MAX);
        }
    }

    pub(super) fn load_history(&mut self, page: u32) {
        let Some(api) = self.api.clone() else { return };
        self.history.loading = true;
        self.history_asked = self.history_asked.wrapping_add(1);
        let (page, asked) = (page.max(1), self.history_asked);
        self.feeds.spawn(async move {
            let query =
                CallHistoryQuery { page: Some(page), per_page: Some(HISTORY_PAGE), ..Default::default() };
            Outcome::History { page, asked, answer: api.call_history(&query).await }
        });
    }

    pub(super) fn history_fetched(
        &mut self,
        page: u32,
        asked: u32,
        answer: Result<Page<CallRecord>, ApiError>,
    ) {
        if asked != self.history_asked {
            // Something has changed since: a later answer knows of it.
            return;
        }
        self.history.loading = false;
        match answer {
            Ok(answer) => {
                if page == 1 {
                    self.tell_chat(Input::Calls(answer.items.clone()));
                }
                let me = self.user_id();
                self.history.items =
                    answer.items.iter().filter_map(|record| super::view::history_item(record, me?)).collect();
                self.history.page = page;
                self.history.pages = u32::try_from(answer.pages).unwrap_or(u32::MAX);
                self.history.total = u32::try_from(answer.total).unwrap_or(u32::MAX);
                self.history.failure = None;
            }
            Err(error) => self.history.failure = Some(error.failure_when_signed_in()),
        }
    }

    /// Who is signed in.
    pub(super) fn user_id(&self) -> Option<UserId> {
        match &self.account {
            Account::SignedIn { user, .. } => Some(user.id),
            Account::Restoring | Account::SignedOut { .. } | Account::SigningIn => None,
        }
    }
}

fn remember_clinic(remembered: &mut Remembered, clinic: ClinicInfo) {
    remembered.clinic_name = Some(clinic.name);
    remembered.archive = clinic.archive.map(|archive| archive.id);
}
