/* The limit that the other systems are measured against: the tutorial's training run as one hand-written C loop.
 *
 * Everything is feature-major, so that observations fill the vector lanes; two passes over the data an epoch; the
 * hidden layer stays in the first-level cache. Rows are padded to a multiple of 16, padding has mask 0.
 * Build: cc -O3 -march=native -ffast-math -shared -fPIC limit.c -o limit.so
 */
enum { N = 112, D = 3, H = 32 };

void train(const float *restrict x /* D x N */, const float *restrict y /* N */, const float *restrict mask /* N */,
           float *restrict w1 /* D x H */, float *restrict b1 /* H */, float *restrict w2 /* H */, float *restrict b2,
           int epochs, float learning_rate, float *restrict losses /* epochs */) {
  static float h[H][N] __attribute__((aligned(64)));
  float bias2 = *b2; /* a copy the compiler may keep in a register */
  const float *x0 = x, *x1 = x + N, *x2 = x + 2 * N;
  for (int epoch = 0; epoch < epochs; epoch++) {
    float y_pred[N] __attribute__((aligned(64))), dy[N] __attribute__((aligned(64)));
    float loss = 0, db2 = 0;
    for (int i = 0; i < N; i++) y_pred[i] = bias2;
    for (int j = 0; j < H; j++) {
      const float p = w1[j], q = w1[H + j], r = w1[2 * H + j], b = b1[j], w = w2[j];
      for (int i = 0; i < N; i++) {
        const float z = x0[i] * p + x1[i] * q + x2[i] * r + b;
        h[j][i] = z;
        y_pred[i] += (z < 0 ? 0 : z) * w;
      }
    }
    for (int i = 0; i < N; i++) {
      const float error = (y_pred[i] - y[i]) * mask[i];
      loss += error * error;
      dy[i] = 2 * error;
      db2 += dy[i];
    }
    for (int j = 0; j < H; j++) {
      float dw2 = 0, g0 = 0, g1 = 0, g2 = 0, gb = 0;
      for (int i = 0; i < N; i++) {
        const float z = h[j][i];
        const float g = z < 0 ? 0 : dy[i]; /* the gradient passes at z == 0, as in the tutorial */
        dw2 += z * g;                      /* relu(z) dy = z g, in both cases */
        g0 += x0[i] * g;
        g1 += x1[i] * g;
        g2 += x2[i] * g;
        gb += g;
      }
      const float step = learning_rate * w2[j]; /* before w2 moves */
      w1[j] -= step * g0;
      w1[H + j] -= step * g1;
      w1[2 * H + j] -= step * g2;
      b1[j] -= step * gb;
      w2[j] -= learning_rate * dw2;
    }
    bias2 -= learning_rate * db2;
    losses[epoch] = loss;
  }
  *b2 = bias2;
}
