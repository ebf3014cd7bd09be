//! Windows: a toast. The system shows toasts of installed apps only, whose shortcut in the start menu has their identifier.

use windows::{
    UI::Notifications::{ToastNotification, ToastNotificationManager, ToastNotifier, ToastTemplateType},
    core::{HSTRING, Result, h},
};

use super::Words;

/// One that the system shows.
pub(super) struct Shown {
    identifier: HSTRING,
    notifier: ToastNotifier,
    toast: ToastNotification,
}

impl Shown {
    pub(super) fn new(identifier: &str, words: &Words) -> Result<Self> {
        let identifier = HSTRING::from(identifier);
        let content = ToastNotificationManager::GetTemplateContent(ToastTemplateType::ToastText02)?;
        let lines = content.GetElementsByTagName(h!("text"))?;
        for (line, text) in (0..).zip([&words.title, &words.body]) {
            lines.Item(line)?.AppendChild(&content.CreateTextNode(&HSTRING::from(text))?)?;
        }
        let toast = ToastNotification::CreateToastNotification(&content)?;
        toast.SetTag(h!("call"))?;
        let notifier = ToastNotificationManager::CreateToastNotifierWithId(&identifier)?;
        notifier.Show(&toast)?;
        Ok(Self { identifier, notifier, toast })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // From the screen, and from the list of those that nobody looked at.
        let withdrawn = self.notifier.Hide(&self.toast).and_then(|()| {
            ToastNotificationManager::History()?.RemoveGroupedTagWithId(h!("call"), h!(""), &self.identifier)
        });
        if let Err(error) = withdrawn {
            // Whoever looked at it may have closed it.
            tracing::debug!(%error, "the notification was not withdrawn");
        }
    }
}
