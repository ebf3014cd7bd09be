//! macOS: the notification centre, which asks the person for permission at the first notification and knows only apps that
//! run from their bundle.

use std::sync::{Arc, Mutex, PoisonError};

use block2::RcBlock;
use objc2::runtime::Bool;
use objc2_foundation::{NSArray, NSBundle, NSError, NSString};
use objc2_user_notifications::{
    UNAuthorizationOptions, UNMutableNotificationContent, UNNotificationRequest, UNUserNotificationCenter,
};

use super::Words;

/// Under which the centre knows it: there is one at a time.
const NAME: &str = "call";

/// One that the centre shows, or will once the person permits it.
pub(super) struct Shown {
    wanted: Arc<Mutex<bool>>,
}

impl Shown {
    pub(super) fn new(_identifier: &str, words: &Words) -> std::io::Result<Self> {
        if NSBundle::mainBundle().bundleIdentifier().is_none() {
            return Err(std::io::Error::other("the app does not run from its bundle"));
        }
        let content = UNMutableNotificationContent::new();
        content.setTitle(&NSString::from_str(&words.title));
        content.setBody(&NSString::from_str(&words.body));
        let name = NSString::from_str(NAME);
        let request = UNNotificationRequest::requestWithIdentifier_content_trigger(&name, &content, None);
        let wanted = Arc::new(Mutex::new(true));
        let still_wanted = wanted.clone();
        // The answer may come after the call has ended.
        let show = RcBlock::new(move |permitted: Bool, _error: *mut NSError| {
            let wanted = still_wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if permitted.as_bool() && *wanted {
                UNUserNotificationCenter::currentNotificationCenter()
                    .addNotificationRequest_withCompletionHandler(&request, None);
            }
        });
        UNUserNotificationCenter::currentNotificationCenter()
            .requestAuthorizationWithOptions_completionHandler(UNAuthorizationOptions::Alert, &show);
        Ok(Self { wanted })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = false;
        let names = NSArray::from_retained_slice(&[NSString::from_str(NAME)]);
        let centre = UNUserNotificationCenter::currentNotificationCenter();
        centre.removePendingNotificationRequestsWithIdentifiers(&names);
        centre.removeDeliveredNotificationsWithIdentifiers(&names);
    }
}
