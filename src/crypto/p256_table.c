/*
 * The curve of FIPS 186-4 D.1.2.3 in Jacobian coordinates (EFD: madd, dbl-2001-b), its field and
 * the integers modulo its order in Montgomery form.  A scalar is cut into signed digits of 5 bits;
 * for each digit's place the table has the multiples 1 to 16 of the point, so that a product is at
 * most 52 additions and no doubling.
 */
#include "crypto/p256_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "crypto/der.h"

enum {
	LIMBS = 4,
	DIGIT_BITS = 5,
	MULTIPLES = 1 << (DIGIT_BITS - 1),
	PLACES = 52, /* 260 bits: a scalar and the last digit's carry */
};

typedef unsigned __int128 wide;

/* Below the modulus; as x * 2^256 mod m where it is a field's. */
struct num {
	uint64_t v[LIMBS];
};

struct modulus {
	struct num m;
	uint64_t inverse;  /* -1/m mod 2^64 */
	struct num enters; /* 2^512 mod m */
};

static const struct modulus field = {
	{ { 0xffffffffffffffff, 0x00000000ffffffff, 0, 0xffffffff00000001 } },
	1, /* see mul */
	{ { 0x0000000000000003, 0xfffffffbffffffff, 0xfffffffffffffffe, 0x00000004fffffffd } },
};
static const struct modulus order = {
	{ { 0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000 } },
	0xccd1c8aaee00bc4f,
	{ { 0x83244c95be79eea2, 0x4699799c49bd6fa6, 0x2845b2392b6bec59, 0x66e12d94f3d95620 } },
};
static const uint8_t curve_b[] = { 0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd,
				   0x55, 0x76, 0x98, 0x86, 0xbc, 0x65, 0x1d, 0x06, 0xb0, 0xcc, 0x53,
				   0xb0, 0xf6, 0x3b, 0xce, 0x3c, 0x3e, 0x27, 0xd2, 0x60, 0x4b };
static const uint8_t generator_x[] = { 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47,
				       0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
				       0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0,
				       0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96 };
static const uint8_t generator_y[] = { 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b,
				       0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
				       0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
				       0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5 };

struct point { /* affine, never infinity */
	struct num x, y;
};

struct jacobian {
	struct num x, y, z; /* z = 0: infinity */
};

struct p256_table {
	struct point multiples[PLACES][MULTIPLES];
};

/* ---- numbers ---- */

static bool is_zero(const struct num *a)
{
	return (a->v[0] | a->v[1] | a->v[2] | a->v[3]) == 0;
}

static bool equal(const struct num *a, const struct num *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* *r = a - b; returns the borrow. */
static inline uint64_t subtract(struct num *r, const struct num *a, const struct num *b)
{
	uint64_t borrow = 0;

#pragma GCC unroll 4
	for (int i = 0; i < LIMBS; i++) {
		wide d = (wide)a->v[i] - b->v[i] - borrow;
		r->v[i] = (uint64_t)d;
		borrow = (uint64_t)(d >> 64) & 1;
	}
	return borrow;
}

/* *r = a + b; returns the carry. */
static inline uint64_t sum(struct num *r, const struct num *a, const struct num *b)
{
	uint64_t carry = 0;

#pragma GCC unroll 4
	for (int i = 0; i < LIMBS; i++) {
		wide s = (wide)a->v[i] + b->v[i] + carry;
		r->v[i] = (uint64_t)s;
		carry = (uint64_t)(s >> 64);
	}
	return carry;
}

static bool below(const struct num *a, const struct num *b)
{
	struct num unused;

	return subtract(&unused, a, b);
}

/* carry * 2^256 + a, below 2m, to below m. */
static inline struct num reduce(uint64_t carry, const struct num *a, const struct modulus *m)
{
	struct num less;
	uint64_t borrow = subtract(&less, a, &m->m);

	return carry >= borrow ? less : *a;
}

static inline struct num add(const struct num *a, const struct num *b)
{
	struct num r;
	uint64_t carry = sum(&r, a, b);

	return reduce(carry, &r, &field);
}

static inline struct num sub(const struct num *a, const struct num *b)
{
	struct num r;

	if (subtract(&r, a, b))
		sum(&r, &r, &field.m);
	return r;
}

/* lo + 2^64 hi = a * b + c + d, which always fits. */
static inline uint64_t multiply(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t *ret_hi)
{
	wide w = (wide)a * b + c + d;

	*ret_hi = (uint64_t)(w >> 64);
	return (uint64_t)w;
}

/* *t += a + carry; returns the carry. */
static inline uint64_t carry_add(uint64_t *t, uint64_t a, uint64_t carry)
{
	wide w = (wide)*t + a + carry;

	*t = (uint64_t)w;
	return (uint64_t)(w >> 64);
}

/* t[0..4] += a * d; returns the carry. */
static inline __attribute__((always_inline)) uint64_t add_product(uint64_t t[LIMBS + 1],
								  const struct num *a, uint64_t d)
{
	uint64_t c = 0;

#pragma GCC unroll 4
	for (int j = 0; j < LIMBS; j++)
		t[j] = multiply(a->v[j], d, t[j], c, &c);
	return carry_add(&t[LIMBS], c, 0);
}

/* a * b / 2^256 mod m, limb by limb (CIOS); unrolled, so that limbs stay in registers. */
static struct num montgomery(const struct num *a, const struct num *b, const struct modulus *m)
{
	uint64_t t[LIMBS + 1] = { 0 };

#pragma GCC unroll 4
	for (int i = 0; i < LIMBS; i++) {
		uint64_t top = add_product(t, a, b->v[i]), c;
		uint64_t q = t[0] * m->inverse;
		multiply(q, m->m.v[0], t[0], 0, &c);
		t[0] = multiply(q, m->m.v[1], t[1], c, &c);
		t[1] = multiply(q, m->m.v[2], t[2], c, &c);
		t[2] = multiply(q, m->m.v[3], t[3], c, &c);
		t[3] = t[4];
		t[4] = top + carry_add(&t[3], c, 0);
	}
	struct num r = { { t[0], t[1], t[2], t[3] } };
	return reduce(t[4], &r, m);
}

/* The same in the field, where q is t[0] and q p + q = 2^96 q + 2^192 (2^64 - 2^32 + 1) q. */
static struct num mul(const struct num *a, const struct num *b)
{
	uint64_t t[LIMBS + 1] = { 0 };

#pragma GCC unroll 4
	for (int i = 0; i < LIMBS; i++) {
		uint64_t top = add_product(t, a, b->v[i]), q = t[0], c;
		uint64_t low = q - (q << 32), high = q - (q >> 32) - (q < q << 32);
		t[0] = t[1];
		t[1] = t[2];
		t[2] = t[3];
		t[3] = t[4];
		c = carry_add(&t[0], q << 32, 0);
		c = carry_add(&t[1], q >> 32, c);
		c = carry_add(&t[2], low, c);
		t[4] = top + carry_add(&t[3], high, c);
	}
	struct num r = { { t[0], t[1], t[2], t[3] } };
	return reduce(t[4], &r, &field);
}

static struct num square(const struct num *a)
{
	return mul(a, a);
}

static struct num mul_order(const struct num *a, const struct num *b)
{
	return montgomery(a, b, &order);
}

static struct num from_bytes(const uint8_t *p)
{
	return (struct num){ { get_be64(p + 24), get_be64(p + 16), get_be64(p + 8), get_be64(p) } };
}

/* 2^256 mod m: both moduli are above 2^255. */
static struct num one(const struct modulus *m)
{
	struct num zero = { { 0 } }, r;

	subtract(&r, &zero, &m->m);
	return r;
}

/* a * 2^256 mod m. */
static struct num enter(const struct num *a, const struct modulus *m)
{
	return montgomery(a, &m->enters, m);
}

/* a^(m - 2) = 1/a, in Montgomery form, by digits of 4 bits. */
static struct num invert(const struct num *a, const struct modulus *m)
{
	struct num powers[16], exponent = m->m, r = one(m);

	exponent.v[0] -= 2; /* neither modulus ends in 0 or 1 */
	powers[0] = r;
	for (int i = 1; i < 16; i++)
		powers[i] = montgomery(&powers[i - 1], a, m);
	for (int i = 63; i >= 0; i--) {
		for (int j = 0; j < 4; j++)
			r = montgomery(&r, &r, m);
		r = montgomery(&r, &powers[exponent.v[i / 16] >> (i % 16 * 4) & 15], m);
	}
	return r;
}

/* ---- points ---- */

static struct jacobian doubled(const struct jacobian *p)
{
	struct num delta = square(&p->z), gamma = square(&p->y), beta = mul(&p->x, &gamma);
	struct num less = sub(&p->x, &delta), more = add(&p->x, &delta);
	struct num alpha = mul(&less, &more), twice = add(&alpha, &alpha);
	struct jacobian r;

	alpha = add(&alpha, &twice);
	struct num beta2 = add(&beta, &beta), beta4 = add(&beta2, &beta2),
		   beta8 = add(&beta4, &beta4);
	r.x = square(&alpha);
	r.x = sub(&r.x, &beta8);
	r.z = add(&p->y, &p->z);
	r.z = square(&r.z);
	r.z = sub(&r.z, &gamma);
	r.z = sub(&r.z, &delta);
	struct num gamma2 = square(&gamma), left = sub(&beta4, &r.x);
	gamma2 = add(&gamma2, &gamma2);
	gamma2 = add(&gamma2, &gamma2);
	gamma2 = add(&gamma2, &gamma2);
	r.y = mul(&alpha, &left);
	r.y = sub(&r.y, &gamma2);
	return r;
}

static void add_point(struct jacobian *p, const struct point *q)
{
	if (is_zero(&p->z)) {
		*p = (struct jacobian){ q->x, q->y, one(&field) };
		return;
	}
	struct num zz = square(&p->z), u = mul(&q->x, &zz), s = mul(&q->y, &zz);
	s = mul(&s, &p->z);
	struct num h = sub(&u, &p->x), r = sub(&s, &p->y);
	if (is_zero(&h)) {
		/* The same point, or the opposite one. */
		*p = is_zero(&r) ? doubled(p) : (struct jacobian){ 0 };
		return;
	}
	struct num hh = square(&h), hhh = mul(&h, &hh), v = mul(&p->x, &hh), x = square(&r);
	x = sub(&x, &hhh);
	x = sub(&x, &v);
	x = sub(&x, &v);
	struct num left = sub(&v, &x), y = mul(&p->y, &hhh);
	left = mul(&r, &left);
	p->z = mul(&p->z, &h);
	p->x = x;
	p->y = sub(&left, &y);
}

/* y^2 = x^3 - 3x + b. */
static bool on_curve(const struct point *p)
{
	struct num b = from_bytes(curve_b), left = square(&p->y), right = square(&p->x);

	b = enter(&b, &field);
	right = mul(&right, &p->x);
	right = sub(&right, &p->x);
	right = sub(&right, &p->x);
	right = sub(&right, &p->x);
	right = add(&right, &b);
	return equal(&left, &right);
}

/* ---- tables ---- */

static struct point affine(const struct jacobian *p)
{
	struct num z = invert(&p->z, &field), zz = square(&z);
	struct point r = { mul(&p->x, &zz), mul(&p->y, &zz) };

	r.y = mul(&r.y, &z);
	return r;
}

struct p256_table *p256_table_new(const uint8_t x[P256_SCALAR_BYTES],
				  const uint8_t y[P256_SCALAR_BYTES])
{
	struct num nx = from_bytes(x), ny = from_bytes(y);
	struct point base = { enter(&nx, &field), enter(&ny, &field) };

	if (!below(&nx, &field.m) || !below(&ny, &field.m) || !on_curve(&base))
		return NULL;
	struct p256_table *t = malloc(sizeof(*t));
	for (int i = 0; t && i < PLACES; i++) {
		struct jacobian p = { base.x, base.y, one(&field) };
		t->multiples[i][0] = base;
		for (int j = 1; j < MULTIPLES; j++) {
			add_point(&p, &base);
			t->multiples[i][j] = affine(&p);
		}
		p = doubled(&p);
		base = affine(&p);
	}
	return t;
}

struct p256_table *p256_table_generator(void)
{
	return p256_table_new(generator_x, generator_y);
}

void p256_table_free(struct p256_table *t)
{
	free(t);
}

/* Adds scalar times the table's point. */
static void add_multiple(struct jacobian *p, const struct num *scalar, const struct p256_table *t)
{
	const struct num zero = { { 0 } };
	unsigned carry = 0;

	for (unsigned i = 0; i < PLACES; i++) {
		unsigned bit = i * DIGIT_BITS, limb = bit / 64, shift = bit % 64;
		uint64_t bits = limb < LIMBS ? scalar->v[limb] >> shift : 0;
		if (shift > 64 - DIGIT_BITS && limb + 1 < LIMBS)
			bits |= scalar->v[limb + 1] << (64 - shift);
		unsigned digit = (unsigned)(bits & (2 * MULTIPLES - 1)) + carry;
		carry = digit > MULTIPLES;
		if (!carry && digit) {
			add_point(p, &t->multiples[i][digit - 1]);
		} else if (carry && digit < 2 * MULTIPLES) {
			struct point minus = t->multiples[i][2 * MULTIPLES - digit - 1];
			minus.y = sub(&zero, &minus.y);
			add_point(p, &minus);
		}
	}
}

/* ---- signatures ---- */

/* A whole number from 1 to the order - 1, as DER has it. */
static bool take_scalar(struct wire *w, struct num *ret)
{
	struct bytes v = der_take(w, DER_INTEGER, NULL);
	uint8_t whole[P256_SCALAR_BYTES] = { 0 };

	if (!wire_ok(w) || !v.len || v.data[0] & 0x80)
		return false;
	if (v.data[0] == 0 && v.len > 1) {
		if (!(v.data[1] & 0x80))
			return false; /* longer than it need be */
		v = bytes_from(v, 1);
	}
	if (v.len > sizeof(whole))
		return false;
	memcpy(whole + sizeof(whole) - v.len, v.data, v.len);
	*ret = from_bytes(whole);
	return !is_zero(ret) && below(ret, &order.m);
}

static bool take_signature(struct bytes der, struct num *ret_r, struct num *ret_s)
{
	struct wire outer = wire_read(der);
	struct wire w = wire_read(der_take(&outer, DER_SEQUENCE, NULL));

	return wire_ok(&outer) && !wire_left(&outer) && take_scalar(&w, ret_r) &&
	       take_scalar(&w, ret_s) && !wire_left(&w);
}

/* Whether the point's x is r; without dividing by z^2. */
static bool has_x(const struct jacobian *p, const struct num *r)
{
	struct num zz = square(&p->z), x = enter(r, &field);

	x = mul(&x, &zz);
	return equal(&x, &p->x);
}

bool p256_verify(const struct p256_table *generator, const struct p256_table *key,
		 const uint8_t digest[P256_SCALAR_BYTES], struct bytes signature)
{
	struct num r, s, e = from_bytes(digest), more;
	struct jacobian p = { 0 };

	if (!take_signature(signature, &r, &s))
		return false;
	e = reduce(0, &e, &order);
	/* w = 1/s stays in Montgomery form, so that the products leave it. */
	struct num w = enter(&s, &order);
	w = invert(&w, &order);
	struct num u1 = mul_order(&e, &w), u2 = mul_order(&r, &w);
	add_multiple(&p, &u1, generator);
	add_multiple(&p, &u2, key);
	if (is_zero(&p.z))
		return false;
	if (has_x(&p, &r))
		return true;
	/* x, of the field, may be above the order, which r is below. */
	return !sum(&more, &r, &order.m) && below(&more, &field.m) && has_x(&p, &more);
}
