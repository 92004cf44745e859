//! What a request does, in RBAC's words, and how long that may take.

/// What a request does. On resources these are RBAC's verbs, elsewhere the method in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object; elsewhere GET.
    Get,
    /// Many objects.
    List,
    /// Changes to objects as they come.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH, on resources and elsewhere.
    Patch,
    /// One object; elsewhere DELETE.
    Delete,
    /// Many objects.
    DeleteCollection,
    /// The verb in old paths that lead through to a service.
    Proxy,
    /// HEAD, but not on a resource, where it is [`Verb::Get`].
    Head,
    /// OPTIONS, but not on a resource, where no verb stands for it.
    Options,
    /// POST, but not on a resource.
    Post,
    /// PUT, but not on a resource.
    Put,
    /// A method for which Kubernetes has no verb.
    Other,
}

impl Verb {
    /// As RBAC writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Proxy => "proxy",
            Self::Head => "head",
            Self::Options => "options",
            Self::Post => "post",
            Self::Put => "put",
            Self::Other => "other",
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub const fn is_read(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch | Self::Head | Self::Options => true,
            Self::Create
            | Self::Update
            | Self::Patch
            | Self::Delete
            | Self::DeleteCollection
            | Self::Proxy
            | Self::Post
            | Self::Put
            | Self::Other => false,
        }
    }

    pub(super) fn of_resource_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Create,
            "PUT" => Self::Update,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }

    pub(super) fn of_method(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// Whether every API's server takes a request with this method for one with this verb. None has answered verbs in paths but for `watch`
/// since Kubernetes 1.10, and one that still does could do more by them than it seems.
pub(super) fn is_plain(verb: Verb, method: &str) -> bool {
    match verb {
        Verb::Proxy | Verb::Other => false,
        Verb::Watch => matches!(method, "GET" | "HEAD"),
        Verb::Get
        | Verb::List
        | Verb::Create
        | Verb::Update
        | Verb::Patch
        | Verb::Delete
        | Verb::DeleteCollection
        | Verb::Head
        | Verb::Options
        | Verb::Post
        | Verb::Put => true,
    }
}

/// How an exchange runs: those other than short ones last for as long as somebody looks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request and its answer.
    Short,
    /// A watch.
    Watch,
    /// A log that is followed.
    Log,
    /// Exec, attach, and what kubectl builds on them: cp, debug.
    Exec,
    /// Port-forward.
    PortForward,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Short,
        Self::Watch,
        Self::Log,
        Self::Exec,
        Self::PortForward,
    ];

    /// A label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Watch => "watch",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::PortForward => "port_forward",
        }
    }
}
