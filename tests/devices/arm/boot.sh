#!/bin/sh
# Boot the board, inside of namespaces of its own: boot.sh IMAGE FOLDER QEMU_CPU
# IMAGE stays as it is; what the board writes is kept in memory. FOLDER has the board's sshd_config, host key and
# authorized keys. Waits for a line of input before it begins: until user ids are mapped, nothing can be mounted.
set -e
image=$1 folder=$2 cpu=$3
echo namespaces
read -r _

mount -t tmpfs board "$folder/board"
mkdir "$folder/board/changed" "$folder/board/work" "$folder/board/root"
layers="lowerdir=$image,upperdir=$folder/board/changed,workdir=$folder/board/work,userxattr"
root=$folder/board/root
mount -t overlay board -o "$layers" "$root"
install -m 600 "$folder/sshd_config" "$folder/host" "$root/etc/ssh/"
install -m 644 "$folder/authorized" "$root/etc/ssh/"

mount -t proc proc "$root/proc"
mount --bind "$root/etc/cpuinfo" "$root/proc/cpuinfo"
mount -t tmpfs dev "$root/dev"
for device in null zero full urandom random tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
chmod 1777 "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
hostname emulated-arm-board

# Programs for aarch64, told by the head of their ELF file, go to QEMU; kept open (F), and told their real name (P).
mkdir "$folder/board/binfmt"
mount -t binfmt_misc binfmt_misc "$folder/board/binfmt"
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):FP" > "$folder/board/binfmt/register"

QEMU_CPU=$cpu exec setpriv --pdeathsig KILL chroot "$root" /usr/sbin/sshd -D -e -o "SetEnv=QEMU_CPU=$cpu"
