//! Key packages: what others need to add this device to a group while it is away.

use bedside_protocol::Sealed;
use openmls::prelude::{
    BasicCredential, Capabilities, CredentialWithKey, ExtensionType, KeyPackage, KeyPackageRef, Lifetime,
    MlsMessageOut, Welcome,
};
use openmls_traits::{OpenMlsProvider as _, storage::StorageProvider as _};

use super::{CLOCK_SKEW_SECONDS, Device, KEY_PACKAGE_SECONDS, MlsError, Provider, SUITE, ledger::Kind};
use crate::{DeviceIdentity, store::Store};

/// The one that is handed out, those before it, which may be on their way, and those of which the server never heard.
const MAX_LAST_RESORTS: usize = 5;
/// Key packages whose keys are kept: a server that always wants more gets them, but not the disk.
const MAX_KEY_PACKAGES: usize = MAX_LAST_RESORTS * super::KEY_PACKAGES;

impl<S: Store> Device<S> {
    /// Key packages for the server, from which others add this device to groups; `last_resort` makes the one that is
    /// handed out again and again when no other is left. `now` is in seconds since 1970. The keys of the 250 newest are
    /// kept, and of the five newest last resorts.
    ///
    /// # Errors
    /// When the store or the random number generator does not answer.
    pub fn key_packages(
        &mut self,
        count: usize,
        last_resort: bool,
        now: u64,
    ) -> Result<Vec<Sealed>, MlsError> {
        let provider = self.provider();
        let (kind, most) = if last_resort {
            (Kind::LAST_RESORTS, MAX_LAST_RESORTS)
        } else {
            (Kind::KEY_PACKAGES, MAX_KEY_PACKAGES)
        };
        let mut kept: Vec<(KeyPackageRef, u64)> = provider.ledger.get(kind, &())?.unwrap_or_default();
        let mut packages = Vec::with_capacity(count);
        for _ in 0..count {
            let mut builder = KeyPackage::builder()
                .key_package_lifetime(lifetime(now))
                .leaf_node_capabilities(capabilities());
            if last_resort {
                builder = builder.mark_as_last_resort();
            }
            let package = builder
                .build(SUITE, &provider, &self.identity, credential(&self.identity))
                .map_err(|_| MlsError::Library("key package"))?
                .into_key_package();
            let name = package.hash_ref(&self.crypto).map_err(|_| MlsError::Library("key package"))?;
            kept.push((name, package.life_time().not_after()));
            let bytes =
                MlsMessageOut::from(package).to_bytes().map_err(|_| MlsError::Library("key package"))?;
            packages.push(Sealed(bytes));
        }
        // The oldest are used up, or nobody knows what became of them.
        for (name, _) in kept.drain(..kept.len().saturating_sub(most)) {
            provider.storage().delete_key_package(&name)?;
        }
        provider.ledger.put(kind, &(), &kept)?;
        self.store.apply(provider.into_batch())?;
        Ok(packages)
    }

    /// Erases the keys of key packages that expired before `now` (seconds since 1970), and says how many.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn forget_expired_key_packages(&mut self, now: u64) -> Result<usize, MlsError> {
        let provider = self.provider();
        let mut forgotten = 0;
        for kind in [Kind::KEY_PACKAGES, Kind::LAST_RESORTS] {
            let kept: Vec<(KeyPackageRef, u64)> = provider.ledger.get(kind, &())?.unwrap_or_default();
            let (expired, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(_, until)| *until < now);
            if expired.is_empty() {
                continue;
            }
            for (name, _) in &expired {
                provider.storage().delete_key_package(name)?;
            }
            provider.ledger.put(kind, &(), &kept)?;
            forgotten += expired.len();
        }
        if forgotten > 0 {
            self.store.apply(provider.into_batch())?;
        }
        Ok(forgotten)
    }

    /// Whether somebody has let this device in by a key package of last resort since
    /// [`Device::last_resort_replaced`]: it is to be replaced, as its keys have served (RFC 9420 §16.8).
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn last_resort_used(&self) -> Result<bool, MlsError> {
        Ok(self.provider().ledger.get(Kind::LAST_RESORT_USED, &())?.unwrap_or(false))
    }

    /// The server hands out a new key package of last resort.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn last_resort_replaced(&mut self) -> Result<(), MlsError> {
        if !self.last_resort_used()? {
            return Ok(());
        }
        let provider = self.provider();
        provider.ledger.erase(Kind::LAST_RESORT_USED, &())?;
        Ok(self.store.apply(provider.into_batch())?)
    }
}

/// Notes that a welcome which is about to be written down has used a key package of last resort, if it has.
pub(super) fn note_use<S: Store>(provider: &Provider<'_, S>, welcome: &Welcome) -> Result<(), MlsError> {
    let resorts: Vec<(KeyPackageRef, u64)> =
        provider.ledger.get(Kind::LAST_RESORTS, &())?.unwrap_or_default();
    let serves = |name: &KeyPackageRef| welcome.secrets().iter().any(|one| one.new_member() == *name);
    if resorts.iter().any(|(name, _)| serves(name)) {
        provider.ledger.put(Kind::LAST_RESORT_USED, &(), &true)?;
    }
    Ok(())
}

pub(super) fn credential(identity: &DeviceIdentity) -> CredentialWithKey {
    let public = identity.public();
    CredentialWithKey {
        credential: BasicCredential::new(public.credential().to_vec()).into(),
        signature_key: public.key.to_vec().into(),
    }
}

/// What this device says it can do: one suite, and key packages that serve more than once.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(None, Some(&[SUITE]), Some(&[ExtensionType::LastResort]), None, None)
}

pub(super) fn lifetime(now: u64) -> Lifetime {
    Lifetime::init(now.saturating_sub(CLOCK_SKEW_SECONDS), now.saturating_add(KEY_PACKAGE_SECONDS))
}
