"""Golden cases of attention and einsum."""

import torch

from golden import Cases, random

INF = float("inf")
cases = Cases("attention")
TARGET = "aten.scaled_dot_product_attention.default"


def add(name, q, k, v, mask=None, **options):
    args = {"query": random(*q, seed=1), "key": random(*k, seed=2), "value": random(*v, seed=3)}
    if mask is not None:
        args["attn_mask"] = mask
    # The softmax multiplies errors of its arguments, which are sums of products, by at most 1.
    cases.add(name, TARGET, {**args, **options}, length=4 * q[-1] + k[-2], magnitude=2)


add("4 axes", (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
add("3 axes", (3, 5, 4), (3, 7, 4), (3, 7, 4))
add("2 axes", (5, 4), (7, 4), (7, 3))
add("5 axes", (2, 1, 2, 3, 4), (2, 1, 2, 3, 4), (2, 1, 2, 3, 4))
add("one key", (1, 2, 3, 4), (1, 2, 1, 4), (1, 2, 1, 4))
add("depth 1", (1, 2, 3, 1), (1, 2, 4, 1), (1, 2, 4, 1))
add("scale", (1, 2, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4), scale=0.3)
add("scale 0", (1, 2, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4), scale=0)
add("causal", (1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), is_causal=True)
add("causal, more keys", (1, 2, 3, 4), (1, 2, 6, 4), (1, 2, 6, 4), is_causal=True)
add("causal, fewer keys", (1, 2, 6, 4), (1, 2, 3, 4), (1, 2, 3, 4), is_causal=True)
add("groups", (2, 6, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), enable_gqa=True)
add("40 keys", (1, 1, 20, 8), (1, 1, 40, 8), (1, 1, 40, 8))
for shape in [(2, 3, 5, 7), (5, 7), (2, 1, 1, 7), (3, 5, 1), (1, 1, 5, 7)]:
    add(f"mask {shape}", (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), random(*shape, seed=4))
hidden = torch.zeros(5, 7)
hidden[0, 3:] = hidden[2] = hidden[4, 0] = -INF
add("hidden keys", (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), hidden)

for name, equation, a, b in [
        ("matmul", "ij,jk->ik", (3, 4), (4, 5)), ("implicit", "ij,jk", (3, 4), (4, 5)),
        ("implicit, turned", "ib,ba", (3, 4), (4, 5)),
        ("scores", "bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
        ("weighed", "bhqk,bhkd->bqhd", (2, 3, 4, 6), (2, 3, 6, 5)),
        ("1x1 convolution", "bchw,oc->bohw", (2, 5, 3, 4), (6, 5)),
        ("weights first", "oc,bchw->bohw", (6, 5), (2, 5, 3, 4)),
        ("graph convolution", "nctv,vw->nctw", (2, 3, 4, 5), (5, 5)),
        ("graph convolution, partitions", "nkctv,kvw->nctw", (2, 3, 4, 2, 5), (3, 5, 5)),
        ("heads", "bnd,hde->bhne", (2, 3, 4), (5, 4, 6)),
        ("outer product", "i,j->ij", (3,), (4,)), ("inner product", "i,i->", (7,), (7,)),
        ("elementwise", "ij,ij->ij", (3, 4), (3, 4)), ("rows", "ij,ij->i", (3, 4), (3, 4)),
        ("scaled", "ij,i->ij", (3, 4), (3,)), ("turned output", "bij,bjk->kbi", (2, 3, 4), (2, 4, 5)),
        ("ellipsis", "...ij,...jk->...ik", (2, 3, 4, 5), (2, 3, 5, 2)),
        ("ellipsis of one", "...c,cd->...d", (2, 3, 4), (4, 5)),
        ("implicit ellipsis", "...c, cd", (2, 3, 4), (4, 5)),
        ("two sums", "abcd,cdef->abef", (2, 3, 4, 2), (4, 2, 3, 2)),
        ("two sums, turned", "abcd,dcef->faeb", (2, 3, 4, 2), (2, 4, 3, 2)),
        ("upper case", "aB,Bc->ac", (2, 3), (3, 4)), ("size 1", "bi,bj->bij", (1, 3), (1, 4))]:
    tensors = [random(*a, seed=5), random(*b, seed=6)]
    for constants in [(), ("tensors",)]:
        if not constants or len(b) == 2:
            cases.add(f"{name} {'of constants' if constants else ''}", "aten.einsum.default",
                      {"equation": equation, "tensors": tensors}, constants=constants, length=8,
                      magnitude=8)
cases.write()
