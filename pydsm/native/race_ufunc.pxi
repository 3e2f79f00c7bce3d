# What a ufunc reads and writes, and its call on plain arrays.


def array_ufunc(self, ufunc, method, *inputs, **kwargs):
    """Do what a ufunc does, on plain arrays; see `numpy.ndarray.__array_ufunc__`."""
    cdef tuple out = kwargs.get("out", ())
    cdef bint seen = active is not None and not quiet
    where = kwargs.get("where", True)
    if seen:
        see_ufunc(method, inputs, out, where)
    if out:
        kwargs["out"] = tuple([bare(array, True) for array in out])
    if where is not True:
        kwargs["where"] = bare(where)
    plains = [bare(array) for array in inputs]
    if method == "at":
        plains[0] = bare(inputs[0], True)
    result = getattr(ufunc, method)(*plains, **kwargs)
    if not out:
        return result
    if type(result) is tuple:
        return tuple([given if given is not None else made for given, made in zip(out, result)])
    return out[0] if out[0] is not None else result


cdef int see_ufunc(method, tuple inputs, tuple out, where) except -1:
    if method == "at":
        touch_operand(inputs[1])
        for other in inputs[2:]:
            touch_operand(other)
        access(inputs[0], RACE_WRITE, inputs[1])
        return 0
    for array in inputs:
        if race_is_checked(array) and not is_among(array, out):
            see_part(array, RACE_READ, where, method)
        elif type(array) is list or type(array) is tuple:
            touch_operand(array)
    for array in out:
        if race_is_checked(array):
            see_part(array, RACE_WRITE, where, method)
    return touch_operand(where)


cdef bint is_among(array, tuple out):
    """Say whether an operand is what is written: then the write says it all."""
    cdef cnp.ndarray a = <cnp.ndarray> array
    cdef cnp.ndarray b
    for other in out:
        if other is array:
            return True
        if cnp.PyArray_Check(other):
            b = <cnp.ndarray> other
            if cnp.PyArray_DATA(a) == cnp.PyArray_DATA(b) and a.shape == b.shape and a.strides == b.strides:
                return True
    return False


cdef int see_part(array, int kind, where, method) except -1:
    """See an access where a mask says so."""
    mask = np.asarray(bare(where))
    if where is True or (mask.ndim == 0 and mask):
        access(array, kind)
    elif method == "__call__" and mask.any():
        access(array, kind, np.broadcast_to(mask, array.shape) if mask.ndim <= array.ndim else ...)
    elif method != "__call__":
        access(array, kind)
    return 0
