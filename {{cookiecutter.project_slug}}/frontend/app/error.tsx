"use client";

export default function ErrorPage() {
  return (
    <main className="card">
      <h1 role="alert">This page is temporarily unavailable</h1>
      <p>Sign-in is not working at the moment. Your tasks are safe.</p>
      <button type="button" className="primary" onClick={() => location.reload()}>
        Try again
      </button>
    </main>
  );
}
