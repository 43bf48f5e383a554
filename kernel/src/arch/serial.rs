//! COM1, driven by the `uart_16550` crate.

#![expect(unsafe_code, reason = "takes possession of a port")]

use core::fmt;

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

const COM1: u16 = 0x3f8;

/// COM1, or nothing on a machine that has none.
pub(crate) struct Serial(Option<Uart16550<PioBackend>>);

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serial").field(&self.0.is_some()).finish()
    }
}

impl Serial {
    /// A port that discards what is written.
    pub(crate) const fn closed() -> Self {
        Self(None)
    }

    /// Finds and configures the port.
    pub(crate) fn open() -> Self {
        // SAFETY: COM1 is at this port on every PC, and only the console opens it.
        let port = unsafe { Uart16550::new_port(COM1) };
        let mut port = match port {
            Ok(port) => port,
            Err(_) => return Self(None),
        };
        let configured = port.init(Config::default());
        Self(configured.is_ok().then_some(port))
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(port) = &mut self.0 {
            port.send_bytes_exact(text.as_bytes());
        }
        Ok(())
    }
}
