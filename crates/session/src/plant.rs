//! `planted!(Fault)`: whether a fault is planted at this place. Without the feature `planted-faults` it is the
//! word `false`, and the compiler leaves out what stands behind it.

/// Whether this [`Fault`](crate::planted::Fault) is planted on this thread.
#[cfg(feature = "planted-faults")]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is_planted($crate::planted::Fault::$fault)
    };
}

/// No fault is ever planted here.
#[cfg(not(feature = "planted-faults"))]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}
