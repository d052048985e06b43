//! What is logged, kept to be read.

use std::io::{self, Write};
use std::string::FromUtf8Error;
use std::sync::{Arc, Mutex, PoisonError};

/// A page that log lines are written on. Clones write on the same one.
#[derive(Debug, Clone, Default)]
pub struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// What has been written so far.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&self) -> Result<String, FromUtf8Error> {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
