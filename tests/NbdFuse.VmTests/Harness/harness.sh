#!/bb/busybox sh
# Runs what the tests send, see GuestChannel. busybox prefers its own applets here; commands are run by another shell, which
# finds real programs first.
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" != org.nbdfuse.command ] || exec 3<>"/dev/${port##*/}"
done

jobs=/run/harness
mkdir $jobs
mkfifo $jobs/ended
cd /root || exit
export HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 DOTNET_EnableDiagnostics=0
export PATH=/bin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bb

# One writer: answers are not mixed. Opened for both directions, the queue does not end with its first user.
(
    while read -r verb id code; do
        out=$(stat -c %s $jobs/"$id".out)
        err=$(stat -c %s $jobs/"$id".err)
        [ "$out" -le 4194304 ] || out=4194304
        [ "$err" -le 4194304 ] || err=4194304
        {
            echo "$verb $id $code $out $err"
            head -c "$out" $jobs/"$id".out
            head -c "$err" $jobs/"$id".err
        } >&3
        [ "$verb" != END ] || rm -f $jobs/"$id".*
    done
) <>$jobs/ended &

echo "READY $(cat /proc/uptime)" >&3
while read -r verb id text <&3; do
    case $verb in
        RUN)
            printf %s "$text" | base64 -d >$jobs/"$id".sh
            : >$jobs/"$id".out
            : >$jobs/"$id".err
            (
                setsid /bin/sh -e $jobs/"$id".sh </dev/null >$jobs/"$id".out 2>$jobs/"$id".err 3>&-
                echo "END $id $?" >$jobs/ended
            ) &
            ;;
        DUMP)
            # What is blocked, and where, to the console.
            dmesg -n 8
            echo w >/proc/sysrq-trigger
            echo "PART $id 0" >$jobs/ended
            ;;
        OFF) break ;;
    esac
done
sync
poweroff -f
