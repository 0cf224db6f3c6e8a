/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uapi_compat.h - constants newer than the kernel headers of Debian 12 (Linux 6.1), each with the
 * kernel that brought it. Include it after the <linux/...> header it completes.
 */
#ifndef EBB_BASE_UAPI_COMPAT_H
#define EBB_BASE_UAPI_COMPAT_H

/* <sys/mman.h>, Linux 6.1: small pages become a huge one now, holes become zeros. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* <linux/virtio_mem.h>, Linux 6.10: plugged memory stays plugged over suspend and resume. */
#ifndef VIRTIO_MEM_F_PERSISTENT_SUSPEND
#define VIRTIO_MEM_F_PERSISTENT_SUSPEND 2
#endif

#endif
