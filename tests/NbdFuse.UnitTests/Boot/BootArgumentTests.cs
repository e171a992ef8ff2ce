using System.Globalization;
using NbdFuse.Boot;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Boot;

public sealed class BootArgumentTests
{
    private const string NextServer = "192.0.2.9";
    private const string Error = "error";

    public static TheoryData<string, string, string, string, string, string> Exports => Data(
        "Arguments", 6, row => (row[0], row[1], row[2], row[3], row[4], row[5]));

    public static TheoryData<string, string> Roots
    {
        get
        {
            var data = new TheoryData<string, string>();
            BootTables.Rows("root=").ForEach(row => data.Add(row[0], row[1]));
            return data;
        }
    }

    public static TheoryData<string, string, string, string, string, string> Addresses => Data(
        "ip=", 7, row => (row[0], $"{row[1]} {row[2]}".Trim(), row[3], row[4], row[5], row[6]));

    [Theory]
    [MemberData(nameof(Exports))]
    public void Row_of_the_table_names_server_port_and_export(
        string arguments, string rootPath, string server, string port, string export, string then)
    {
        BootArguments parsed = BootArguments.Parse($"BOOT_IMAGE=/vmlinuz {arguments}\n");
        NetworkFacts facts = new() { NextServer = NextServer, RootPath = rootPath.Length > 0 ? rootPath : null };
        if (server == Error)
        {
            string message = parsed.Errors.Count > 0
                ? parsed.Errors[0]
                : Assert.Throws<BootArgumentException>(() => parsed.Export!.Resolve(facts)).Message;
            Assert.DoesNotContain('\n', message);
            Assert.NotEmpty(message);
            return;
        }

        Assert.Empty(parsed.Errors);
        ExportAddress address = parsed.Export!.Resolve(facts);
        Assert.Equal(server == "next-server" ? NextServer : server, address.Uri.Host);
        Assert.Equal(int.Parse(port, CultureInfo.InvariantCulture), address.Uri.Port);
        Assert.Equal(export, address.Uri.ExportName);
        Assert.Equal(then.Length > 0 ? then : null, address.Alternate?.ExportName);
        Assert.Equal(server == "next-server" || rootPath.Length > 0, parsed.Export.NeedsDhcp);
    }

    [Theory]
    [MemberData(nameof(Roots))]
    public void Row_of_the_table_picks_the_filesystem(string root, string meaning)
    {
        BootArguments parsed = BootArguments.Parse(root == "none" ? "nbdroot=10.0.0.1" : $"nbdroot=10.0.0.1 root={root}");

        if (meaning == Error)
        {
            Assert.Contains("root=", Assert.Single(parsed.Errors), StringComparison.Ordinal);
            return;
        }

        Assert.Empty(parsed.Errors);
        Assert.Equal(meaning, parsed.Root.ToString());
    }

    [Theory]
    [MemberData(nameof(Addresses))]
    public void Row_of_the_table_configures_the_network(
        string ip, string method, string gateway, string server, string device, string nameServers)
    {
        BootArguments parsed = BootArguments.Parse($"ip={ip}");
        if (method == Error)
        {
            Assert.Contains("ip=", Assert.Single(parsed.Errors), StringComparison.Ordinal);
            return;
        }

        Assert.Empty(parsed.Errors);
        IpConfiguration configuration = parsed.Ip!;
        string address = configuration.Address is null ? string.Empty : $" {configuration.Address}/{configuration.PrefixLength}";
        Assert.Equal(method, $"{configuration.Method}{address}");
        Assert.Equal(gateway, configuration.Gateway ?? string.Empty);
        Assert.Equal(server, configuration.Server ?? string.Empty);
        Assert.Equal(device, configuration.Device ?? string.Empty);
        Assert.Equal(nameServers, string.Join(' ', configuration.NameServers));
    }

    [Theory]
    [InlineData("nbdroot=10.0.0.1:2000", "'2000' is a number, and so a port")]
    [InlineData("nbdroot=10.0.0.1,2000,nbd0", "'2000' is a number, and so a port")]
    [InlineData("nbdroot=10809/export", "'10809' is a number, and so a port")]
    [InlineData("nbdroot=/export", "with its slash")]
    [InlineData("nbdroot=10.0.0.1/a nbdroot=10.0.0.1/b", "more than once")]
    [InlineData("nbdfuse=nbd://h/a nbdroot=10.0.0.1/b", "nbdroot= has no effect beside nbdfuse=")]
    [InlineData("root=nbd:10.0.0.1:export:ext4:noatime:bs=512", "for nbd-client")]
    [InlineData("ip=10.0.0.2:::::eth0", "/8 is taken")]
    public void Choice_between_two_readings_is_told(string arguments, string note) =>
        Assert.Contains(BootArguments.Parse(arguments).Notes, line => line.Contains(note, StringComparison.Ordinal));

    [Fact]
    public void Name_that_was_not_understood_is_told_with_the_forms()
    {
        string error = Assert.Single(BootArguments.Parse("nbdroot=ho!st/x").Errors);

        Assert.StartsWith("nbdroot=ho!st/x cannot be understood: 'ho!st' is neither", error, StringComparison.Ordinal);
        Assert.Contains("nbdroot=[SERVER][:PORT][/EXPORT]", error, StringComparison.Ordinal);
        Assert.Contains("nbdfuse=nbd://", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_are_read()
    {
        BootArguments parsed = BootArguments.Parse(
            "nbdroot=h rw rootfstype=ext4,xfs rootflags=noatime rootwait fsck.mode=force init=/bin/x nbdfuse.driver=ublk "
            + "nbdfuse.overlay=tmpfs nbdfuse.rescue=0 nbdfuse.debug BOOTIF=01-52-54-00-AB-34-56");

        Assert.Empty(parsed.Errors);
        Assert.False(parsed.IsReadOnly);
        Assert.Equal("ext4,xfs", parsed.FileSystem);
        Assert.Equal("noatime", parsed.MountOptions);
        Assert.True(parsed.RootWait && parsed.Check && parsed.Overlay && parsed.Debug && !parsed.Rescue);
        Assert.Equal("/bin/x", parsed.Init);
        Assert.Equal("ublk", parsed.Driver);
        Assert.Equal("52:54:00:ab:34:56", parsed.BootInterface);
    }

    [Theory]
    [InlineData("", null, null)]
    [InlineData("nbdfuse.prefetch=/etc/other nbdfuse.record", "/etc/other", BootArguments.DefaultRecord)]
    [InlineData("nbdfuse.prefetch=0 nbdfuse.record=/run/a/b", "", "/run/a/b")]
    [InlineData("nbdfuse.prefetch=off nbdfuse.record=0", "", null)]
    public void Traces_are_read(string arguments, string? prefetch, string? record)
    {
        BootArguments parsed = BootArguments.Parse($"nbdroot=h {arguments}");

        Assert.Empty(parsed.Errors);
        Assert.Equal((prefetch, record), (parsed.Prefetch, parsed.Record));
    }

    [Theory]
    [InlineData("nbdfuse.prefetch")]
    [InlineData("nbdfuse.prefetch=")]
    [InlineData("nbdfuse.prefetch=relative")]
    [InlineData("nbdfuse.record=/var/trace")]
    [InlineData("nbdfuse.record=/run/")]
    [InlineData("nbdfuse.record=/run/../etc/trace")]
    public void Trace_that_cannot_be_meant_is_told(string argument) =>
        Assert.Contains(argument.Split('=')[0], Assert.Single(BootArguments.Parse($"nbdroot=h {argument}").Errors), StringComparison.Ordinal);

    [Theory]
    [InlineData("nbdroot=h", true)]
    [InlineData("nbdroot=h rw", false)]
    [InlineData("nbdroot=h rw ro", true)]
    [InlineData("root=nbd:h:x::rw", false)]
    [InlineData("root=nbd:h:x::rw ro", true)]
    [InlineData("ro root=nbd:h:x::rw", true)]
    public void Root_is_mounted_read_only_unless_rw_is_said(string arguments, bool isReadOnly) =>
        Assert.Equal(isReadOnly, BootArguments.Parse(arguments).IsReadOnly);

    [Fact]
    public void Filesystem_and_options_of_dracuts_form_count()
    {
        BootArguments parsed = BootArguments.Parse("root=nbd:h:x:xfs:noatime,ro rootflags=nodev");

        Assert.Equal("xfs", parsed.FileSystem);
        Assert.Equal("nodev,noatime", parsed.MountOptions);
        Assert.True(parsed.IsReadOnly);
    }

    [Theory]
    [InlineData("nbdroot=10.0.0.1,x,nbd0p2", 2)]
    [InlineData("nbdroot=10.0.0.1,x,/dev/nbd0p3", 3)]
    [InlineData("nbdroot=10.0.0.1,x,nbd0p2 root=/dev/nbd0p1", 1)]
    public void Device_of_the_comma_form_names_a_partition_unless_root_does(string arguments, int partition) =>
        Assert.Equal(partition, BootArguments.Parse(arguments).Root.Partition);

    [Theory]
    [InlineData("nbdfuse.driver=loop")]
    [InlineData("nbdfuse.overlay=ramfs")]
    [InlineData("nbdfuse.rescue=maybe")]
    [InlineData("nbdfuse.typo=1")]
    [InlineData("BOOTIF=01-02")]
    public void Wrong_setting_is_named(string argument) =>
        Assert.Contains(argument.Split('=')[0], Assert.Single(BootArguments.Parse(argument).Errors), StringComparison.Ordinal);

    [Fact]
    public void Without_any_key_there_is_no_export() => Assert.Null(BootArguments.Parse("root=/dev/sda1 ro quiet").Export);

    [Fact]
    public void Vsock_uri_needs_no_network()
    {
        ExportWish wish = BootArguments.Parse("nbdfuse=nbd+vsock://2:10809/x").Export!;

        Assert.False(wish.NeedsDhcp);
        Assert.Equal(NbdUriTransport.Vsock, wish.Resolve(NetworkFacts.None).Uri.Transport);
    }

    [Fact]
    public void Without_a_server_the_message_names_the_cause()
    {
        ExportWish wish = BootArguments.Parse("nbdroot=:10809/x").Export!;

        Assert.Contains("no server is named", Assert.Throws<BootArgumentException>(() => wish.Resolve(NetworkFacts.None)).Message, StringComparison.Ordinal);
        Assert.Equal("10.0.2.2", wish.Resolve(new NetworkFacts { DhcpServer = "10.0.2.2" }).Uri.Host);
    }

    [Fact]
    public void Kernels_own_autoconfiguration_is_understood()
    {
        NetworkFacts facts = NetworkFacts.FromKernel("#PROTO: DHCP\ndomain example.com\nnameserver 10.0.2.3\nbootserver 10.0.2.2\n");

        Assert.Equal("10.0.2.2", facts.NextServer);
        Assert.Equal(["10.0.2.3"], facts.NameServers);
        Assert.Equal("example.com", facts.Domain);
        Assert.Null(NetworkFacts.FromKernel("bootserver 0.0.0.0\n").NextServer);
    }

    [Fact]
    public void Answer_of_dhcp_is_understood()
    {
        NetworkFacts facts = NetworkFacts.FromDhcp("ip=10.0.2.15\nsiaddr=10.0.2.4\nserverid=10.0.2.2\nrootpath=h:1/\u001bx\ndns=10.0.2.3 10.0.2.5\nhostname=\n");

        Assert.Equal("10.0.2.4", facts.NextServer);
        Assert.Equal("10.0.2.2", facts.DhcpServer);
        Assert.Equal("h:1/x", facts.RootPath);
        Assert.Equal(["10.0.2.3", "10.0.2.5"], facts.NameServers);
        Assert.Null(facts.HostName);
    }

    private static TheoryData<string, string, string, string, string, string> Data(
        string heading, int cells, Func<string[], (string A, string B, string C, string D, string E, string F)> pick)
    {
        var data = new TheoryData<string, string, string, string, string, string>();
        foreach (string[] row in BootTables.Rows(heading))
        {
            Assert.Equal(cells, row.Length);
            (string a, string b, string c, string d, string e, string f) = pick(row);
            data.Add(a, b, c, d, e, f);
        }

        return data;
    }
}
