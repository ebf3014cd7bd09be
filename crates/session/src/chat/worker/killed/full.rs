//! A disk that is full from some write on, each day from another one, until there is room again.

use bedside_ui_contract::chat::VaultView;

use super::*;

impl Mortal {
    fn fill_after(&self, writes: u32) {
        self.life().room_for = Some(writes);
    }

    /// Whether anything was refused since it was to fill up.
    fn make_room(&self) -> bool {
        let mut life = self.life();
        life.room_for = None;
        std::mem::take(&mut life.refused)
    }
}

impl Person {
    /// Waits until the window says this of what is kept here.
    async fn until_vault(&mut self, wanted: VaultView) {
        let view = &mut self.app.as_mut().expect("it runs").view;
        let seen = tokio::time::timeout(PATIENCE, view.wait_for(|view| view.vault == wanted)).await;
        seen.unwrap_or_else(|_| panic!("never saw: {wanted:?}")).expect("it runs");
    }

    fn vault(&self) -> VaultView {
        self.app.as_ref().expect("it runs").view.borrow().vault
    }

    /// Waits for anything that the window shows.
    async fn changed(&mut self) {
        self.app.as_mut().expect("it runs").view.changed().await.expect("it runs");
    }
}

/// After so many days in a row on which everything found room none has more writes.
const SPARED: u32 = 3;

/// One day; true when the disk was full in it.
async fn live(hero: &mut Person, friend: &mut Person, writes: u32) -> bool {
    let (theirs, mine) = (format!("theirs {writes}"), format!("mine {writes}"));
    hero.disk.fill_after(writes);
    friend.write(&theirs);
    let mut full = false;
    loop {
        if hero.vault() == VaultView::Unwritable {
            full |= hero.disk.make_room();
            hero.until_vault(VaultView::Keyring).await;
        }
        let items = hero.list().await.expect("alive");
        if !has(&items, &mine) {
            // Whoever does not find it in the window writes it again, once they read that there is room.
            hero.write(&mine);
            continue;
        }
        let arrived = has(&friend.list().await.expect("alive"), &mine);
        if arrived && has(&items, &theirs) {
            return full | hero.disk.make_room();
        }
        let change = async {
            tokio::select! { () = hero.changed() => {}, () = friend.changed() => {} }
        };
        tokio::time::timeout(PATIENCE, change).await.unwrap_or_else(|_| panic!("stuck on {writes}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_is_told_of_and_once_there_is_room_everything_goes_on_and_nothing_is_lost() {
    let clinic = Clinic::open_with(|config| config.limits.rest_burst = 100_000).await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    // What happens at once is written at once, so one day has fewer writes than another.
    let (mut writes, mut full, mut spared) = (0, 0, 0);
    while spared < SPARED {
        if live(&mut hero, &mut friend, writes).await {
            (full, spared) = (full + 1, 0);
        } else {
            spared += 1;
        }
        writes += 1;
    }
    println!("the disk was full on {full} days, the last time after {} writes", writes - SPARED - 1);
    assert!(full > 6, "a day has more writes than {full}");
    friend.write("the end");
    for person in [&mut hero, &mut friend] {
        assert!(person.until_list("the end", |items| has(items, "the end")).await);
    }
    let (at_hero, at_friend) = (hero.list().await.unwrap(), friend.list().await.unwrap());
    assert_eq!(texts(&at_hero), texts(&at_friend));
    let mut once = texts(&at_friend);
    once.sort();
    once.dedup();
    assert_eq!(once.len(), texts(&at_friend).len(), "something was said twice");
    // Also after the next start.
    hero.close().await;
    hero.start();
    hero.until("the conversation", |one| one.state == ConversationState::Ready).await;
    assert_eq!(texts(&hero.list().await.unwrap()), texts(&at_friend));
    clinic.close().await;
}
