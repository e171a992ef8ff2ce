namespace NbdFuse.Protocol;

/// <summary>How the server of an NBD URI is reached.</summary>
public enum NbdUriTransport
{
    /// <summary>nbd:// and nbds://.</summary>
    Tcp,

    /// <summary>nbd+unix:// and nbds+unix://.</summary>
    Unix,

    /// <summary>nbd+vsock:// and nbds+vsock://, an extension of libnbd.</summary>
    Vsock,
}
