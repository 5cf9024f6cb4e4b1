// An external delegate of LiteRT for the tests, as a library of a chip's vendor is one: it takes the operators of one
// kind (LOGISTIC, number 14 of the schema, or what the option `take` says) and computes 1 / (1 + exp(-x)).
//
// The structures are those of LiteRT's C interface (tensorflow/lite/core/c/common.h), with the fields that are needed
// here and those before them.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } Ints;
typedef struct {
  int type;
  void *data;
  Ints *dims;
  struct { float scale; int32_t zero; } params;
  int allocation;
  size_t bytes;
  const void *mapped;
  const char *name;
  void *delegate;
  int handle;
  bool stale, variable;
  struct { int type; void *params; } quantization;
  void *sparsity, *signature;
} Tensor;
typedef struct { Ints *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*release)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async;
  uint64_t inplace;
} Registration;
struct Context {
  size_t tensors_size;
  int (*plan)(Context *, Ints **);
  Tensor *tensors;
  void *impl, *resize;
  void (*report)(Context *, const char *, ...);
  void *add;
  int (*node)(Context *, int, Node **, Registration **);
  int (*replace)(Context *, Registration, const Ints *, Delegate *);
};
struct Delegate { void *data; int (*prepare)(Context *, Delegate *); void *from, *to, *forget; int64_t flags; void *builder; };

typedef struct { int input, output; } Part;
typedef struct { Delegate *delegate; Ints *nodes, *inputs, *outputs; } Parameters;

static void *init(Context *context, const char *buffer, size_t length) {
  const Parameters *parameters = (const Parameters *)buffer;
  Part *part = malloc(sizeof *part);
  part->input = parameters->inputs->data[0];
  part->output = parameters->outputs->data[0];
  return part;
}

static void release(Context *context, void *part) { free(part); }
static int ready(Context *context, Node *node) { return 0; }

static int invoke(Context *context, Node *node) {
  const Part *part = node->user_data;
  const Tensor *input = &context->tensors[part->input];
  Tensor *output = &context->tensors[part->output];
  const float *x = input->data;
  float *y = output->data;
  for (size_t i = 0; i < output->bytes / sizeof *y; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
  return 0;
}

static int prepare(Context *context, Delegate *delegate) {
  Ints *plan;
  if (context->plan(context, &plan)) return 1;
  Ints *mine = malloc(sizeof *mine + plan->size * sizeof *plan->data);
  mine->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *kind;
    if (context->node(context, plan->data[i], &node, &kind)) return 1;
    if (kind->builtin_code == (int)(intptr_t)delegate->data) mine->data[mine->size++] = plan->data[i];
  }
  Registration made = {.init = init, .release = release, .prepare = ready, .invoke = invoke, .custom_name = "Logistic", .version = 1};
  int status = mine->size ? context->replace(context, made, mine, delegate) : 0;
  free(mine);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  Delegate *made = calloc(1, sizeof *made);
  made->data = (void *)(intptr_t)14;
  made->prepare = prepare;
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(keys[i], "take")) made->data = (void *)(intptr_t)atoi(values[i]);
    if (!strcmp(keys[i], "driver")) {
      report("the driver of the NPU is missing");
      free(made);
      return NULL;
    }
  }
  return made;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
