// Reads a range of an NBD export through the client library and writes it to standard output:
//   read-export URI OFFSET LENGTH
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Examples;
using NbdFuse.Native;
using NbdFuse.Protocol;

NbdUri uri = NbdUri.Parse(args[0]);
long offset = long.Parse(args[1], CultureInfo.InvariantCulture);
int length = int.Parse(args[2], CultureInfo.InvariantCulture);

// Opening connects and negotiates; from Start on the export belongs to an event loop, on which all requests run.
NbdExport export = await NbdExport.OpenAsync(
    NbdTarget.FromUri(uri), new NbdExportOptions { ExportName = uri.ExportName, ReadOnly = true }, NullLogger.Instance);
Console.Error.WriteLine($"{uri}: {export.Info.Size} bytes, {export.Connections} connection(s)");

using var loop = new EventLoop("read-export");
using var buffer = NativeBuffer.Allocate(length);
var reader = new RangeReader(loop, export);
export.Start(loop);
loop.Start();

int error = await reader.ReadAsync(offset, buffer.Memory);
if (error == 0)
{
    using Stream output = Console.OpenStandardOutput();
    output.Write(buffer.Span);
}
else
{
    Console.Error.WriteLine($"reading {length} bytes at {offset} failed: {Errno.Describe(error)}");
}

await export.DisposeAsync();
return error == 0 ? 0 : 1;
