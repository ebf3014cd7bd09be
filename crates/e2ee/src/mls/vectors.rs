//! Reading test vectors that others made, from `$BEDSIDE_VECTORS` or `../shared/vectors` beside the workspace.
//!
//! Where they are absent, a test that wants them says so and is skipped.

use std::path::PathBuf;

use serde_json::Value;

/// A file of vectors, or nothing where it is not at hand.
pub(crate) fn read(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("BEDSIDE_VECTORS").map_or_else(beside, PathBuf::from);
    let Ok(text) = std::fs::read(folder.join(name)) else {
        println!("skipped: no {name} here; set BEDSIDE_VECTORS to the folder that has it");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

/// Bytes from hexadecimal digits.
pub(crate) fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The working group's passive client, over this crate's storage: after every step the state is written and read anew,
/// as if the process had been killed.
mod passive_client {
    use openmls::{
        framing::ProcessedMessageContent,
        group::{MlsGroup, MlsGroupJoinConfig, StagedWelcome},
        prelude::{
            Ciphersuite, KeyPackage, KeyPackageBundle, MlsMessageBodyIn, RatchetTreeIn,
            tls_codec::DeserializeBytes as _,
        },
        schedule::PreSharedKeyId,
    };
    use openmls_rust_crypto::RustCrypto;
    use openmls_traits::{
        OpenMlsProvider as _, crypto::OpenMlsCrypto as _, storage::StorageProvider as _,
        types::HpkePrivateKey,
    };
    use serde_json::{Value, json};

    use super::{hex, read};
    use crate::{
        mls::{Provider, ledger::Ledger, sending::parse},
        store::{MemoryStore, Store as _},
    };

    struct Client {
        crypto: RustCrypto,
        store: MemoryStore,
        id: Option<openmls::prelude::GroupId>,
    }

    impl Client {
        /// One step: all that it wrote is applied at once, and nothing else remains.
        fn step<T>(&mut self, act: impl FnOnce(&Provider<'_, MemoryStore>, Option<MlsGroup>) -> T) -> T {
            let provider = Provider { crypto: &self.crypto, ledger: Ledger::new(&self.store) };
            let group = self.id.as_ref().map(|id| MlsGroup::load(&provider.ledger, id).unwrap().unwrap());
            let outcome = act(&provider, group);
            self.store.apply(provider.into_batch()).unwrap();
            outcome
        }

        fn with_key_package(case: &Value) -> Self {
            let mut client = Self { crypto: RustCrypto::default(), store: MemoryStore::default(), id: None };
            let Some(MlsMessageBodyIn::KeyPackage(package)) = parse(&hex(&case["key_package"])) else {
                panic!("no key package")
            };
            let package: KeyPackage = package.into_unchecked();
            let private = |field: &str| HpkePrivateKey::from(hex(&case[field]));
            let bundle: KeyPackageBundle = serde_json::from_value(json!({
                "key_package": package,
                "private_init_key": private("init_priv"),
                "private_encryption_key": { "key": private("encryption_priv") },
            }))
            .unwrap();
            client.step(|provider, _| {
                let name = package.hash_ref(provider.crypto()).unwrap();
                provider.storage().write_key_package(&name, &bundle).unwrap();
                for psk in case["external_psks"].as_array().unwrap() {
                    PreSharedKeyId::external(hex(&psk["psk_id"]), Vec::new())
                        .store(provider, &hex(&psk["psk"]))
                        .unwrap();
                }
            });
            client
        }

        fn join(&mut self, case: &Value) -> Vec<u8> {
            let config = MlsGroupJoinConfig::builder()
                .wire_format_policy(openmls::group::MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
                .number_of_resumption_psks(16)
                .use_ratchet_tree_extension(true)
                .build();
            let Some(MlsMessageBodyIn::Welcome(welcome)) = parse(&hex(&case["welcome"])) else {
                panic!("no welcome")
            };
            let group = self.step(|provider, _| {
                let mut builder = StagedWelcome::build_from_welcome(provider, &config, welcome)
                    .unwrap()
                    .skip_lifetime_validation();
                if !case["ratchet_tree"].is_null() {
                    let tree = hex(&case["ratchet_tree"]);
                    builder =
                        builder.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(&tree).unwrap());
                }
                builder.build().unwrap().into_group(provider).unwrap()
            });
            self.id = Some(group.group_id().clone());
            group.epoch_authenticator().as_slice().to_vec()
        }

        fn handle(&mut self, message: &[u8]) -> Vec<u8> {
            let message = match parse(message) {
                Some(MlsMessageBodyIn::PublicMessage(message)) => {
                    openmls::framing::ProtocolMessage::from(message)
                }
                Some(MlsMessageBodyIn::PrivateMessage(message)) => message.into(),
                other => panic!("no message: {other:?}"),
            };
            self.step(|provider, group| {
                let mut group = group.unwrap();
                match group.process_message(provider, message).unwrap().into_content() {
                    ProcessedMessageContent::ProposalMessage(proposal) => {
                        group.store_pending_proposal(provider.storage(), *proposal).unwrap();
                    }
                    ProcessedMessageContent::StagedCommitMessage(commit) => {
                        group.merge_staged_commit(provider, *commit).unwrap();
                    }
                    other => panic!("unexpected: {other:?}"),
                }
                group.epoch_authenticator().as_slice().to_vec()
            })
        }
    }

    /// Runs a file of histories; says how many of the suites that `openmls_rust_crypto` has, and of its own.
    fn run(name: &str) -> Option<(usize, usize)> {
        let file = read(name)?;
        let (mut passed, mut own_suite) = (0, 0);
        for case in file.as_array().unwrap() {
            let suite = u16::try_from(case["cipher_suite"].as_u64().unwrap()).unwrap();
            let suite = Ciphersuite::try_from(suite).unwrap();
            if RustCrypto::default().supports(suite).is_err() {
                continue;
            }
            let mut client = Client::with_key_package(case);
            assert_eq!(client.join(case), hex(&case["initial_epoch_authenticator"]));
            for epoch in case["epochs"].as_array().unwrap() {
                for proposal in epoch["proposals"].as_array().unwrap() {
                    client.handle(&hex(proposal));
                }
                assert_eq!(client.handle(&hex(&epoch["commit"])), hex(&epoch["epoch_authenticator"]));
            }
            passed += 1;
            own_suite += usize::from(suite == crate::mls::SUITE);
        }
        println!("{name}: {passed} histories pass, {own_suite} of them of this app's own suite");
        Some((passed, own_suite))
    }

    #[test]
    fn joins_by_every_welcome_of_the_working_group() {
        if let Some((passed, own_suite)) = run("mls/passive-client-welcome.json") {
            assert!(passed >= 16 && own_suite >= 8);
        }
    }

    #[test]
    fn handles_every_commit_of_the_working_group() {
        if let Some((passed, own_suite)) = run("mls/passive-client-handling-commit.json") {
            assert!(passed >= 26 && own_suite >= 13);
        }
    }

    #[test]
    fn follows_a_random_history_of_two_hundred_epochs() {
        if let Some(counts) = run("mls/passive-client-random.json") {
            assert_eq!(counts, (1, 1));
        }
    }

    #[test]
    fn lengths_are_read_as_the_working_group_says() {
        let Some(file) = read("mls/deserialization.json") else { return };
        for case in file.as_array().unwrap() {
            let header = hex(&case["vlbytes_header"]);
            let length = usize::try_from(case["length"].as_u64().unwrap()).unwrap();
            let whole = [header.clone(), vec![7; length]].concat();
            let read = openmls::prelude::tls_codec::VLBytes::tls_deserialize_exact_bytes(&whole).unwrap();
            assert_eq!(read.as_slice().len(), length);
            if length > 0 {
                assert!(
                    openmls::prelude::tls_codec::VLBytes::tls_deserialize_exact_bytes(
                        &whole[..whole.len() - 1]
                    )
                    .is_err()
                );
            }
        }
    }
}
